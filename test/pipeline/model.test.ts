/** Faults of model folders as whole commands meet them, and what inspect tells of sound ones. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { inspectModel } from "../../src/pipeline/inspect.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { makePlan } from "../../src/pipeline/plan/plan.ts";
import { readTensor } from "../../src/pipeline/readTensor.ts";
import { llama, temporaryFolder, writeModel, writeTensors } from "../helpers/models.ts";
import { refusal } from "../helpers/safetensorsFile.ts";
import { convertRecipe, pruneRecipe, runOn } from "./recipes.ts";

const INDEX = "model.safetensors.index.json";

function sharded(): string {
  return writeModel(join(temporaryFolder(), "model"), { ...llama(), shardBytes: 30_000 });
}

function editIndex(model: string, change: (map: Record<string, string>) => void): void {
  const path = join(model, INDEX);
  const index = JSON.parse(readFileSync(path, "utf8"));
  change(index.weight_map);
  writeFileSync(path, JSON.stringify(index));
}

/** What a run on the model is refused with; nothing may be written. */
async function refused(model: string) {
  const output = `${model}-out`;
  const error = await refusal(() => executeRecipe(model, output, pruneRecipe()));
  expect(existsSync(output) || existsSync(`${output}.spinfer-partial`)).toBe(false);
  return error;
}

describe("a sharded model is refused in preflight", () => {
  test("SH-03 with all missing shards named", async () => {
    const model = sharded();
    const { archive } = await openModel(model);
    const [first, , third] = archive.tensorFiles.map(({ name }) => name);
    for (const name of [first!, third!]) rmSync(join(model, name));
    const error = await refused(model);
    expect(error.code).toBe("E_SHARD_MISSING");
    expect(error.message).toContain(
      `2 of ${archive.tensorFiles.length} shards are missing: ${first}, ${third}`,
    );
  });

  test("SH-04 when index and shards name other tensors", async () => {
    const model = sharded();
    editIndex(model, (map) => {
      map["model.ghost.weight"] = Object.values(map)[0]!;
      delete map["model.norm.weight"];
    });
    const error = await refused(model);
    expect(error.code).toBe("E_INDEX_MISMATCH");
    expect(error.message).toMatch(/model\.norm\.weight.*model\.ghost\.weight/);
  });

  test("SH-05 when a tensor is in two shards", async () => {
    const model = sharded();
    const { archive } = await openModel(model);
    const file = archive.tensorFiles.at(-1)!.name;
    const [first] = archive.entries;
    const tensor = { ...readTensor(await openModel(model), first!.name) };
    const rest = archive.entries.filter(({ extents }) => extents[0]!.file === file);
    writeTensors(
      join(model, file),
      [...rest, first!].map((entry) => {
        const { bytes } =
          entry === first
            ? tensor
            : { bytes: new Uint8Array(entry.extents[0]!.end - entry.extents[0]!.begin) };
        return { name: entry.name, dtype: entry.dtype, shape: entry.shape, data: bytes };
      }),
    );
    expect((await refused(model)).code).toBe("E_INDEX_DUP");
  });

  test("SH-07 when it names more shards than the limit", async () => {
    const model = sharded();
    const limits = { ...DEFAULT_LIMITS, shards: 2 };
    const error = await refusal(() => openModel(model, { limits }));
    expect(error).toMatchObject({ code: "E_LIMIT_SHARDS", exit: 12 });
  });

  test("SH-01 SH-02 when a shard's name leads out of the folder, or to a pickle", async () => {
    for (const [name, code] of [
      ["../x.safetensors", "E_PATH_ESCAPE"],
      ["pytorch_model.bin", "E_INDEX_EXT"],
    ] as const) {
      const model = sharded();
      editIndex(model, (map) => {
        map["model.norm.weight"] = name;
      });
      expect((await refused(model)).code).toBe(code);
    }
  });
});

describe("a model folder", () => {
  test("SH-09 with one file and an index is read as one file, as transformers does, and says so", async () => {
    const model = sharded();
    const { tensors } = llama();
    writeTensors(join(model, "model.safetensors"), tensors);
    const { archive } = await openModel(model);
    expect(archive.tensorFiles.map(({ name }) => name)).toEqual(["model.safetensors"]);
    expect(archive.warnings.join("\n")).toContain(
      "model.safetensors was used, as transformers does",
    );
  });

  test("SH-11 without a config.json, or with one that is too large, is refused", async () => {
    const model = writeModel(join(temporaryFolder(), "model"), llama());
    writeFileSync(join(model, "config.json"), `{"x":"${"y".repeat(10 * 1024 * 1024)}"}`);
    expect((await refused(model)).code).toBe("E_CONFIG");
    writeFileSync(join(model, "config.json"), "{");
    expect((await refused(model)).code).toBe("E_CONFIG");
    rmSync(join(model, "config.json"));
    expect((await refused(model)).code).toBe("E_CONFIG");
  });

  test("PK-06 with code is pruned without running or copying it, and says so", async () => {
    const touched = join(temporaryFolder(), "touched");
    const code = `open(${JSON.stringify(touched)}, "w")\n`;
    const { output, report } = await runOn(
      { ...llama({ layers: 1 }), files: { "modeling_x.py": code } },
      pruneRecipe(),
    );
    expect(report.warnings.join()).toContain("code is never run and not copied: modeling_x.py");
    expect(existsSync(join(output, "modeling_x.py"))).toBe(false);
    expect(existsSync(touched)).toBe(false);
  });

  test("PK-01 with a pickle only is refused with the advice to convert it", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "config.json"), "{}");
    writeFileSync(join(folder, "pytorch_model.bin"), Buffer.from("80027d71002e", "hex"));
    const error = await refusal(() => openModel(folder));
    expect(error).toMatchObject({ code: "E_PICKLE", exit: 3 });
    expect(error.detail.hint).toContain("safetensors");
  });

  test("PK-05 is never unpacked: nothing that unpacks archives is among the dependencies", () => {
    const manifest = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    for (const name of Object.keys(manifest.dependencies))
      expect(name).not.toMatch(/zip|tar|pako|unpack|gz/);
  });
});

describe("TB-12 a bomb", () => {
  test("of a few bytes that say they are 2^40 values is refused before memory is asked for", async () => {
    const model = writeModel(join(temporaryFolder(), "model"), llama({ layers: 1 }));
    const limits = { ...DEFAULT_LIMITS, denseBytes: 10_000 };
    const opened = await openModel(model);
    const plan = () => makePlan(opened.archive, pruneRecipe(), { threads: 1, limits });
    expect(plan).toThrow(expect.objectContaining({ code: "E_LIMIT_DENSE", exit: 12 }));
  });
});

describe("inspect", () => {
  test("counts parameters, zeros and bytes by role, block and dtype", async () => {
    const { model, output } = await runOn(
      llama({ layers: 2, normDtype: "F32", dtype: "BF16" }),
      pruneRecipe(),
    );
    const dense = await inspectModel(model, { stats: true, hash: true });
    const parameters = 2 * 96 * 64 + 5 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 160);
    expect(dense).toMatchObject({
      format: "safetensors",
      architecture: "LlamaForCausalLM",
      parameters,
      tied: false,
    });
    expect(dense.roles["linear"]).toMatchObject({
      tensors: 14,
      parameters: 2 * (4 * 64 * 64 + 3 * 64 * 160),
    });
    expect(Object.keys(dense.dtypes).sort()).toEqual(["BF16", "F32"]);
    expect(dense.files[0]?.sha256).toMatch(/^[0-9a-f]{64}$/);
    const packed = await inspectModel(output);
    expect(packed).toMatchObject({
      format: "tile-bitmap",
      parameters,
      denseBytes: dense.denseBytes,
    });
    expect(packed.layers.map(({ block, sparsity }) => [block, sparsity])).toEqual([
      [0, 0.5],
      [1, 0.5],
    ]);
    expect(packed.bytes).toBeLessThan(dense.bytes);
    // counted from the values it is the same as from the headers
    const counted = await inspectModel(output, { stats: true });
    expect(counted.roles["linear"]?.sparsity).toBe(packed.roles["linear"]?.sparsity);
  });
});

describe("a plan", () => {
  test("tells sizes that the run keeps to", async () => {
    for (const recipe of [
      pruneRecipe(),
      pruneRecipe({}, { to: "dense" }),
      pruneRecipe({ pattern: "2:4" }),
      convertRecipe(),
    ]) {
      const { model, report } = await runOn(llama({ layers: 3 }), recipe);
      const plan = makePlan((await openModel(model)).archive, recipe, {
        threads: 2,
        limits: DEFAULT_LIMITS,
      });
      expect(report.bytesOut).toBeLessThanOrEqual(plan.diskBytes);
      expect(plan.totals.tensors).toBe(report.tensors);
      expect(plan.totals.pruned).toBe(report.pruned);
      if (recipe.prune === undefined) continue;
      const data =
        report.bytesOut - plan.shards.reduce((sum, { headerBytes }) => sum + 8 + headerBytes, 0);
      expect(Math.abs(data / plan.totals.bytesOut - 1)).toBeLessThan(0.01);
    }
  });

  test("asks for no more threads than have something to hold within the memory bound", async () => {
    const model = writeModel(join(temporaryFolder(), "model"), llama());
    const { archive } = await openModel(model);
    const threads = (asked: number) =>
      makePlan(archive, pruneRecipe(), { threads: asked, limits: DEFAULT_LIMITS }).threads;
    expect(threads(0)).toBe(0);
    expect(threads(2)).toBe(2);
    expect(threads(1000)).toBeLessThan(16);
    const plan = makePlan(archive, pruneRecipe(), { threads: 1000, limits: DEFAULT_LIMITS });
    expect(plan.memoryBytes).toBeLessThanOrEqual(3 * 20_480 + 256 * 1024 * 1024);
  });

  test("YA-08 a target that matches nothing is an error with a near name, unless that is allowed", async () => {
    const model = writeModel(join(temporaryFolder(), "model"), llama());
    const run = (allowEmpty: boolean) =>
      executeRecipe(model, `${model}-out`, pruneRecipe({ targets: ["*.q_prj"], allowEmpty }));
    const error = await refusal(() => run(false));
    expect(error).toMatchObject({ code: "E_NO_TARGET", exit: 2 });
    expect((await run(true)).pruned).toBe(0);
  });

  test("a tile-bitmap checkpoint is not converted to tile-bitmap again", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    const error = await refusal(() => executeRecipe(output, `${output}-again`, convertRecipe()));
    expect(error.code).toBe("E_USAGE");
    expect(error.detail.hint).toContain("--to dense");
  });

  test("a pruned checkpoint can be pruned further, packed to packed", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    const report = await executeRecipe(output, `${output}-more`, pruneRecipe({ sparsity: 0.75 }));
    expect(report).toMatchObject({ pruned: 7, packed: 7, sparsity: 0.75 });
  });
});
