/** What verify says: of sound checkpoints, of damaged ones, and where it can say nothing. */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { readManifest, writeManifest } from "../../src/pipeline/manifest.ts";
import { type VerifyReport, verifyCheckpoint } from "../../src/pipeline/verify.ts";
import { headerOf, llama, sha256, writeModel } from "../helpers/models.ts";
import { refusal } from "../helpers/safetensorsFile.ts";
import { convertRecipe, pruneRecipe, runOn } from "./recipes.ts";

const MANIFEST = "spinfer_manifest.json";

function statuses({ checks }: VerifyReport): Record<string, string> {
  return Object.fromEntries(checks.map(({ name, status }) => [name, status]));
}

/** Flips a bit of a tensor's stored bytes and returns its place in the file. */
function flipIn(output: string, tensor: string, offset = 40): void {
  const path = join(output, "model.safetensors");
  const { dataBegin, entries } = headerOf(path);
  const file = readFileSync(path);
  file[dataBegin + entries[tensor]!.data_offsets[0] + offset]! ^= 1;
  writeFileSync(path, file);
}

/** Changes the manifest as somebody would who knows how it is made. */
function forge(output: string, change: (manifest: Record<string, never>) => void): void {
  const path = join(output, MANIFEST);
  const { manifest_sha256: _, ...manifest } = readManifest(readFileSync(path), path);
  change(manifest as never);
  writeFileSync(path, writeManifest(manifest));
}

describe("a sound checkpoint", () => {
  test("passes every level, each with the checks of the one before", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    const names = [];
    for (const level of ["structure", "hash", "full"] as const) {
      const report = await verifyCheckpoint(output, { level });
      expect(report).toMatchObject({ ok: true, level, findings: [] });
      names.push(report.checks.map(({ name }) => name));
    }
    expect(names).toEqual([
      ["headers", "packed weights"],
      ["manifest", "headers", "packed weights", "files", "tensors"],
      [
        "manifest",
        "headers",
        "packed weights",
        "files",
        "tensors",
        "source files",
        "recomputed weights",
      ],
    ]);
  });

  test("of scope model, 2:4 and random pruning is recomputed too", async () => {
    for (const prune of [
      { options: { scope: "model" as const } },
      { pattern: "2:4" },
      { method: "random", options: { seed: 7 } },
    ]) {
      const { output } = await runOn(llama({ layers: 2 }), pruneRecipe(prune));
      expect((await verifyCheckpoint(output, { level: "full" })).findings).toEqual([]);
    }
  });
});

describe("TB-16 without a manifest", () => {
  test("level structure still runs and says that it did; the others say what is missing", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    rmSync(join(output, MANIFEST));
    expect(await verifyCheckpoint(output, { level: "structure" })).toMatchObject({
      ok: true,
      level: "structure",
    });
    const report = await verifyCheckpoint(output, { level: "hash" });
    expect(report.findings.map(({ code }) => code)).toEqual(["E_NO_MANIFEST"]);
    expect(statuses(report)["packed weights"]).toBe("passed");
    flipIn(output, "model.layers.0.mlp.up_proj.weight", 3000);
    expect((await verifyCheckpoint(output, { level: "structure" })).ok).toBe(false);
  });

  test("or with that of another checkpoint, names what does not fit", async () => {
    const [one, other] = [
      await runOn(llama({ layers: 1 }), pruneRecipe()),
      await runOn(llama({ layers: 1, seed: 5 }), pruneRecipe()),
    ];
    writeFileSync(join(one.output, MANIFEST), readFileSync(join(other.output, MANIFEST)));
    const report = await verifyCheckpoint(one.output, { level: "hash" });
    expect(new Set(report.findings.map(({ code }) => code))).toEqual(new Set(["E_HASH"]));
    expect(report.findings.some(({ path }) => path?.endsWith("model.safetensors"))).toBe(true);
    expect(report.findings.filter(({ tensor }) => tensor !== null).length).toBe(12);
  });
});

describe("TB-14 TB-15 damage", () => {
  test("in a dense tensor is a wrong file hash, and a wrong hash of that tensor", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    flipIn(output, "lm_head.weight");
    const { findings, checks } = await verifyCheckpoint(output, { level: "hash" });
    expect(findings.map(({ code, tensor }) => [code, tensor])).toEqual([
      ["E_HASH", null],
      ["E_HASH", "lm_head.weight"],
    ]);
    expect(findings[1]).toMatchObject({ path: join(output, "model.safetensors"), exit: 4 });
    expect(findings[1]!.message).toMatch(/bytes \d+\.\.\d+/);
    expect(checks.find(({ name }) => name === "tensors")?.detail).toBe("1 finding");
  });

  test("two matrices of one shape in each other's places are both named", async () => {
    const { output } = await runOn(llama({ layers: 2 }), pruneRecipe({}, { to: "dense" }));
    const path = join(output, "model.safetensors");
    const { dataBegin, entries } = headerOf(path);
    const file = readFileSync(path);
    const names = [0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj.weight`);
    const [a, b] = names.map((name) => entries[name]!.data_offsets.map((at) => at + dataBegin));
    const first = Buffer.from(file.subarray(...(a as [number, number])));
    file.copyWithin(a![0]!, ...(b as [number, number]));
    first.copy(file, b![0]!);
    writeFileSync(path, file);
    const { findings } = await verifyCheckpoint(output, { level: "hash" });
    expect(
      findings
        .map(({ tensor }) => tensor)
        .filter(Boolean)
        .sort(),
    ).toEqual(names);
  });

  test("stops at the first finding when asked to", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    flipIn(output, "model.layers.0.mlp.up_proj.weight");
    flipIn(output, "lm_head.weight");
    expect((await verifyCheckpoint(output, { level: "hash" })).findings.length).toBeGreaterThan(2);
    expect(
      (await verifyCheckpoint(output, { level: "hash", failFast: true })).findings.length,
    ).toBe(1);
  });

  test("level full is not tried on a damaged checkpoint, and says so", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    flipIn(output, "lm_head.weight");
    const report = await verifyCheckpoint(output, { level: "full" });
    expect(report.checks.at(-1)).toMatchObject({
      name: "source",
      status: "skipped",
      detail: "the checkpoint is damaged",
    });
  });
});

describe("level full", () => {
  test("finds weights that were changed together with all their hashes", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe({}, { to: "dense" }));
    const name = "model.layers.0.mlp.up_proj.weight";
    flipIn(output, name, 2 * (64 * 3 + 5));
    const path = join(output, "model.safetensors");
    const { dataBegin, entries } = headerOf(path);
    const [begin, end] = entries[name]!.data_offsets;
    const data = readFileSync(path).subarray(dataBegin + begin, dataBegin + end);
    forge(output, (manifest) => {
      const { files, tensors } = manifest as unknown as {
        files: { path: string; sha256: string }[];
        tensors: Record<string, { sha256: string }>;
      };
      files.find((file) => file.path === "model.safetensors")!.sha256 = sha256(readFileSync(path));
      tensors[name]!.sha256 = sha256(
        Buffer.concat([Buffer.from([name, "F16", "160,64", ""].join("\0")), data]),
      );
    });
    expect((await verifyCheckpoint(output, { level: "hash" })).findings).toEqual([]);
    const { findings } = await verifyCheckpoint(output, { level: "full" });
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ code: "E_MISMATCH", tensor: name, exit: 4 });
    expect(findings[0]!.message).toContain("1 values differ, the first at [3, 5]");
    expect(findings[0]!.expected).not.toBe(findings[0]!.found);
  });

  test("needs the source: says where it was looked for, and takes another place", async () => {
    const { output, model, folder } = await runOn(llama({ layers: 1 }), pruneRecipe());
    renameSync(model, join(folder, "moved"));
    const error = await refusal(() => verifyCheckpoint(output, { level: "full" }));
    expect(error.detail.hint).toContain("--against MODEL (the manifest names ../model)");
    const report = await verifyCheckpoint(output, {
      level: "full",
      against: join(folder, "moved"),
    });
    expect(report.ok).toBe(true);
  });

  test("against another source names the file that differs", async () => {
    const { output, folder } = await runOn(llama({ layers: 1 }), pruneRecipe());
    const other = writeModel(join(folder, "other"), llama({ layers: 1, seed: 9 }));
    const { findings } = await verifyCheckpoint(output, { level: "full", against: other });
    expect(findings[0]).toMatchObject({
      code: "E_SOURCE_CHANGED",
      path: join(other, "model.safetensors"),
    });
    expect(findings).toHaveLength(1);
  });

  test("follows a chain: pruned, packed, converted back, each against the one before", async () => {
    const { output, folder } = await runOn(llama({ layers: 1 }), pruneRecipe());
    const dense = join(folder, "dense");
    await executeRecipe(output, dense, convertRecipe({ to: "dense" }));
    expect((await verifyCheckpoint(dense, { level: "full" })).ok).toBe(true);
    const { findings } = await verifyCheckpoint(dense, {
      level: "full",
      against: join(folder, "model"),
    });
    expect(findings.map(({ code }) => code)).toEqual(["E_SOURCE_CHANGED"]);
  });
});

describe("files around the tensors", () => {
  test("that are missing are findings, that are new are warnings", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    rmSync(join(output, "tokenizer.json"));
    writeFileSync(join(output, "notes.txt"), "mine");
    const warnings: string[] = [];
    const { findings } = await verifyCheckpoint(output, {
      level: "hash",
      onEvent: (event) => event.type === "warning" && warnings.push(event.message),
    });
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ code: "E_MANIFEST", path: join(output, "tokenizer.json") });
    expect(warnings).toEqual(["notes.txt is not in the manifest"]);
  });

  test("a manifest that names files outside the folder is refused", async () => {
    const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
    forge(output, (manifest) => {
      (manifest as unknown as { files: { path: string }[] }).files[0]!.path =
        "../model/config.json";
    });
    const { findings } = await verifyCheckpoint(output, { level: "hash" });
    expect(findings[0]).toMatchObject({ code: "E_PATH_ESCAPE" });
  });

  test.each([
    ["cut", (text: string) => text.slice(0, -30), "does not end with its own hash"],
    [
      "edited",
      (text: string) => text.replace('"sparsity": 0.5', '"sparsity": 0.6'),
      "does not match its own hash",
    ],
    ["empty", () => "", "does not end with its own hash"],
  ])(
    "a manifest that was %s is a finding, and the rest is still looked at",
    async (_, change, reason) => {
      const { output } = await runOn(llama({ layers: 1 }), pruneRecipe());
      const path = join(output, MANIFEST);
      writeFileSync(path, change(readFileSync(path, "utf8")));
      const report = await verifyCheckpoint(output, { level: "full" });
      expect(report.findings).toHaveLength(1);
      expect(report.findings[0]).toMatchObject({ code: "E_MANIFEST", path });
      expect(report.findings[0]!.message).toContain(reason);
      expect(statuses(report)["packed weights"]).toBe("passed");
    },
  );
});

describe("what is no checkpoint", () => {
  test("is a finding of the headers", async () => {
    const { folder } = await runOn(llama({ layers: 1 }), pruneRecipe());
    for (const name of readdirSync(join(folder, "model"))) rmSync(join(folder, "model", name));
    const report = await verifyCheckpoint(join(folder, "model"), { level: "structure" });
    expect(report.findings[0]).toMatchObject({ code: "E_MODEL_UNRECOGNISED" });
  });
});
