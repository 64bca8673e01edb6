/** Faults that a first user met, each as it was met. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { readRecipe } from "../../src/pipeline/recipe/index.ts";
import { verifyCheckpoint } from "../../src/pipeline/verify.ts";
import {
  bitsOf,
  leftovers,
  llama,
  type ModelTensor,
  randomTensor,
  storedTensors,
  temporaryFolder,
  writeModel,
} from "../helpers/models.ts";
import { createRandom } from "../helpers/random.ts";

const UP = "model.layers.0.mlp.up_proj.weight";
const half = readRecipe("version: 1\nprune: {method: magnitude, sparsity: 0.5}\n", "recipe");
const dense = readRecipe(
  "version: 1\nprune: {method: magnitude, sparsity: 0.6}\nconvert: {to: dense}\n",
  "recipe",
);

function matrix(name: string, seed = 3): ModelTensor {
  return randomTensor(createRandom(seed), name, [64, 64]);
}

function filled(name: string, bits: number): ModelTensor {
  const data = new Uint8Array(new Uint16Array(64 * 64).fill(bits).buffer);
  return { ...matrix(name), data };
}

describe("--force", () => {
  it("replaces an output of ours and no other folder", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), llama());
    const other = join(folder, "thesis");
    mkdirSync(other);
    writeFileSync(join(other, "thesis.txt"), "years of work");
    await expect(executeRecipe(model, other, half, { force: true })).rejects.toMatchObject({
      code: "E_OUTPUT_EXISTS",
      detail: { found: "thesis.txt" },
    });
    expect(readFileSync(join(other, "thesis.txt"), "utf8")).toBe("years of work");
    const output = join(folder, "out");
    await executeRecipe(model, output, half);
    await executeRecipe(model, output, half, { force: true });
    expect(readdirSync(output)).toContain("spinfer_manifest.json");
  });
});

describe("tensor names of JavaScript's own", () => {
  it.each(["__proto__", "constructor", "toString"])(
    "%s goes through a run and verify",
    async (name) => {
      const folder = temporaryFolder();
      const tensors = [matrix(name), matrix(UP)];
      const model = writeModel(join(folder, "model"), { tensors, config: { model_type: "x" } });
      const output = join(folder, "out");
      await executeRecipe(model, output, half);
      expect(await verifyCheckpoint(output, { level: "full" })).toMatchObject({ ok: true });
    },
  );
});

describe("weights that are not finite", () => {
  it.each([
    ["NaN", 0x7e01],
    ["infinity", 0xfc00],
  ])("are all kept: %s", async (_, bits) => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), {
      tensors: [filled(UP, bits)],
      config: { model_type: "x" },
    });
    const report = await executeRecipe(model, join(folder, "out"), dense);
    expect(report).toMatchObject({ nonfinite: 4096, sparsity: 0 });
    const stored = storedTensors(join(folder, "out")).get(UP)!;
    expect(bitsOf(stored).every((value) => value === bits)).toBe(true);
  });
});

describe("a checkpoint of two 16-bit types", () => {
  it("keeps each tensor's own", async () => {
    const folder = temporaryFolder();
    const down = "model.layers.0.mlp.down_proj.weight";
    const tensors = [
      { ...matrix(UP), dtype: "F16" },
      { ...matrix(down, 4), dtype: "BF16" },
    ];
    const model = writeModel(join(folder, "model"), { tensors, config: { model_type: "x" } });
    const report = await executeRecipe(model, join(folder, "out"), dense);
    expect(report.warnings).toEqual([]);
    const stored = storedTensors(join(folder, "out"));
    expect(stored.get(UP)?.dtype).toBe("F16");
    expect(stored.get(down)?.dtype).toBe("BF16");
  });
});

describe("verify against a named source", () => {
  it("compares with an equal model of other files by its values", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), llama());
    const equal = writeModel(join(folder, "equal"), { ...llama(), shardBytes: 20_000 });
    const output = join(folder, "out");
    await executeRecipe(model, output, half);
    const report = await verifyCheckpoint(output, { level: "full", against: equal });
    expect(report.ok).toBe(true);
    expect(report.checks.find(({ name }) => name === "source files")?.status).toBe("skipped");
  });

  it("says once that a source is the wrong one", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), llama());
    const { tensors, ...rest } = llama();
    const other = writeModel(join(folder, "other"), {
      ...rest,
      tensors: tensors.map((tensor) =>
        randomTensor(createRandom(99), tensor.name, [...tensor.shape]),
      ),
    });
    const output = join(folder, "out");
    await executeRecipe(model, output, half);
    const { findings } = await verifyCheckpoint(output, { level: "full", against: other });
    expect(findings.map(({ code }) => code)).toEqual(["E_SOURCE_CHANGED"]);
  });
});

describe("a run that its input makes fail", () => {
  it("leaves nothing behind, since a second try would fail in the same way", async () => {
    const folder = temporaryFolder();
    const tensors = [matrix(UP), filled("model.layers.1.mlp.up_proj.weight", 0x7e00)];
    const model = writeModel(join(folder, "model"), { tensors, config: { model_type: "x" } });
    const output = join(folder, "out");
    const strict = { ...half, convert: { ...half.convert, strictFinite: true } };
    await expect(executeRecipe(model, output, strict)).rejects.toMatchObject({
      code: "E_NONFINITE",
    });
    expect(leftovers(output)).toEqual([]);
    await executeRecipe(model, output, half);
  });
});
