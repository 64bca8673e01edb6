/** Calibration on the embedded model: what is gathered, what is pruned by it, and what is refused. */
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { readJournal } from "../../src/io/journal.ts";
import { calibrateModel } from "../../src/pipeline/calibration/calibrateModel.ts";
import { openStatistics } from "../../src/pipeline/calibration/statisticsFile.ts";
import { executeRecipe, type RunOptions } from "../../src/pipeline/execute.ts";
import { modelTokenizer } from "../../src/pipeline/modelTokenizer.ts";
import type { OpenedModel } from "../../src/pipeline/openModel.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { readTensor } from "../../src/pipeline/readTensor.ts";
import { type Recipe, readRecipe } from "../../src/pipeline/recipe/index.ts";
import { verifyCheckpoint } from "../../src/pipeline/verify.ts";
import { readStats } from "../../src/pipeline/work/activationStats.ts";
import { fileFolder, temporaryFolder } from "../helpers/models.ts";
import { describePython, runPython } from "../helpers/python.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const TEXT = join(DEMO, "heldout.txt");
const folder = fileFolder();

function recipe(prune: string, mode = "one-pass", more = ""): Recipe {
  return readRecipe(
    `version: 1
prune: { ${prune} }
calibration: { data: ${JSON.stringify(TEXT)}, nsamples: 6, seqlen: 64, mode: ${mode}${more} }
convert: { to: dense }
`,
    "recipe.yaml",
  );
}

const WANDA = "method: wanda, sparsity: 0.5";
const SPARSEGPT = "method: sparsegpt, sparsity: 0.5";
const threads: RunOptions = { threads: 0 };
const gram = join(folder, "gram.safetensors");

beforeAll(async () => {
  await calibrateModel(DEMO, gram, recipe(SPARSEGPT), threads);
});

const bytesOf = (output: string): Buffer => readFileSync(join(output, "model.safetensors"));

describe("statistics of the embedded model", () => {
  it("hold what every linear layer of every block saw, once for each input", async () => {
    const { facts, places } = await openStatistics(gram);
    expect(places.size).toBe(28);
    expect(new Set(Object.values(facts.inputs)).size).toBe(16);
    expect(facts).toMatchObject({ nsamples: 6, seqlen: 64, mode: "one-pass", pruned: null });
    for (const place of places.values()) {
      const { gram: products, inputNorms } = readStats(place, ["gram", "inputNorms", "inputSums"]);
      const diagonal = inputNorms!.map((_, i) => products![i * (place.cols + 1)]!);
      for (const [i, norm] of inputNorms!.entries())
        expect(Math.abs(diagonal[i]! - norm * norm)).toBeLessThan(1e-5 * (norm * norm + 1e-9));
    }
  });

  it("are found again at any sparsity, and by methods that need less", async () => {
    for (const method of ["wanda", "ria", "dsnot", "tile-balanced"]) {
      const output = join(temporaryFolder(), "out");
      const report = await executeRecipe(DEMO, output, recipe(`method: ${method}, sparsity: 0.7`), {
        ...threads,
        statistics: gram,
      });
      expect(report.sparsity).toBeCloseTo(0.7, 2);
      expect(existsSync(join(output, "calibration.statistics"))).toBe(false);
    }
  });

  it("that are sequential are warned about where they meet another pruning", async () => {
    const statistics = join(temporaryFolder(), "stats");
    const asked = recipe(WANDA, "sequential");
    await calibrateModel(DEMO, statistics, asked, threads);
    const warningsOf = async (prune: Recipe): Promise<string[]> => {
      const warnings: string[] = [];
      const onEvent: RunOptions["onEvent"] = (event) => {
        if (event.type === "warning" && event.code === "W_CALIBRATION")
          warnings.push(event.message);
      };
      const output = join(temporaryFolder(), "out");
      await executeRecipe(DEMO, output, prune, { ...threads, statistics, onEvent });
      return warnings;
    };
    expect(await warningsOf(asked)).toEqual([]);
    const [warning, ...more] = await warningsOf(
      recipe("method: wanda, sparsity: 0.6", "sequential"),
    );
    expect(warning).toContain("pruned otherwise (wanda, 50 %)");
    expect(more).toEqual([]);
  });

  it("are not gathered for methods that need none, whatever a recipe says of calibration", async () => {
    const magnitude = "version: 1\nprune: { method: magnitude, sparsity: 0.5 }\n";
    const warningsFor = async (calibration: string): Promise<string[]> => {
      const warnings: string[] = [];
      const asked = readRecipe(`${magnitude}${calibration}`, "recipe.yaml");
      await executeRecipe(DEMO, join(temporaryFolder(), "out"), asked, {
        ...threads,
        onEvent: (event) => event.type === "warning" && warnings.push(event.message),
      });
      return warnings;
    };
    expect(await warningsFor("")).toEqual([]);
    expect(await warningsFor("calibration: { nsamples: 4 }\n")).toEqual([
      "magnitude looks at weights alone: nothing is calibrated",
    ]);
  });

  it("are used as they are, with a warning where a recipe without a text says how to gather them", async () => {
    const warnings: string[] = [];
    const given = "calibration: { nsamples: 7 }\nprune: { method: wanda, sparsity: 0.5 }\n";
    const asked = readRecipe(`version: 1\n${given}`, "recipe.yaml");
    await executeRecipe(DEMO, join(temporaryFolder(), "out"), asked, {
      ...{ ...threads, statistics: gram },
      onEvent: (event) => event.type === "warning" && warnings.push(event.message),
    });
    expect(warnings).toEqual([
      `${gram} is used as it was gathered: what else is said about calibrating has no effect`,
    ]);
  });

  it("of another text draw other windows, the same for the same seed", async () => {
    const at = (seed: number) => `, windows: random, seed: ${seed}`;
    const made = [];
    for (const seed of [1, 1, 2]) {
      const output = join(temporaryFolder(), "stats");
      made.push(await calibrateModel(DEMO, output, recipe(WANDA, "one-pass", at(seed)), threads));
    }
    expect(made[1]!.sha256).toBe(made[0]!.sha256);
    expect(made[2]!.sha256).not.toBe(made[0]!.sha256);
  });
});

describe("pruning by activations", () => {
  it.each([
    ["sequential", WANDA],
    ["sequential", SPARSEGPT],
    ["sequential", `${WANDA}, allocation: owl`],
    ["one-pass", `${WANDA}, allocation: owl`],
  ])("%s, %s: verifies in full by the statistics in the output", async (mode, prune) => {
    const output = join(temporaryFolder(), "out");
    await executeRecipe(DEMO, output, recipe(prune, mode), threads);
    const manifest = JSON.parse(readFileSync(join(output, "spinfer_manifest.json"), "utf8"));
    expect(manifest.statistics).toMatchObject({
      ...{ file: "calibration.statistics", nsamples: 6, seqlen: 64, mode, windows: "first" },
    });
    expect(manifest.recipe).not.toContain(DEMO);
    const report = await verifyCheckpoint(output, { ...threads, level: "full", against: DEMO });
    expect(report.findings).toEqual([]);
    expect(report.checks.at(-1)).toMatchObject({ name: "recomputed weights", status: "passed" });
  });

  it("sequential statistics are not those of the dense model after the first block", async () => {
    const output = join(temporaryFolder(), "stats");
    await calibrateModel(DEMO, output, recipe(WANDA, "sequential"), threads);
    const [dense, pruned] = [await openStatistics(gram), await openStatistics(output)];
    const norms = (file: typeof dense, name: string) =>
      readStats(file.places.get(name), ["inputNorms"]).inputNorms!;
    const [first, later] = [0, 3].map((block) => `model.layers.${block}.mlp.down_proj.weight`);
    const relative = (name: string): number => {
      const [a, b] = [norms(dense, name), norms(pruned, name)];
      return Math.max(...a.map((value, i) => Math.abs(value - b[i]!) / Math.abs(value)));
    };
    expect(relative(first!)).toBeLessThan(1e-5);
    expect(relative(later!)).toBeGreaterThan(1e-3);
  });

  it("goes on where it was cancelled, to the same bytes", async () => {
    const work = temporaryFolder();
    const [whole, resumed] = [join(work, "whole"), join(work, "resumed")];
    const asked = recipe(SPARSEGPT, "sequential");
    await executeRecipe(DEMO, whole, asked, threads);
    let before = -1;
    for (let stops = 1; ; stops++) {
      const stop = new AbortController();
      let calibrated = 0;
      const run = executeRecipe(DEMO, resumed, asked, {
        ...threads,
        unfinished: stops === 1 ? "refuse" : "resume",
        signal: stop.signal,
        onEvent(event) {
          if (event.type !== "item" || event.phase !== "calibrate") return;
          if (event.resumed) calibrated++;
          else stop.abort();
        },
      });
      const failed = await run.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failed === undefined) break;
      expect(failed).toMatchObject({ code: "E_CANCELLED" });
      expect(calibrated).toBeGreaterThan(before);
      before = calibrated;
      expect(stops).toBeLessThan(8);
    }
    expect(before).toBeGreaterThan(0);
    for (const name of ["model.safetensors", "calibration.statistics", "spinfer_manifest.json"])
      expect(readFileSync(join(resumed, name)).equals(readFileSync(join(whole, name)))).toBe(true);
  });

  it("goes on with the engine that it began with alone", async () => {
    const output = join(temporaryFolder(), "out");
    const asked = recipe(WANDA, "sequential");
    const stop = new AbortController();
    const begun = executeRecipe(DEMO, output, asked, {
      ...{ ...threads, engine: "onnxruntime", signal: stop.signal },
      onEvent: (event) => event.type === "item" && event.phase === "calibrate" && stop.abort(),
    });
    await expect(begun).rejects.toMatchObject({ code: "E_CANCELLED" });
    const other = executeRecipe(DEMO, output, asked, {
      ...{ ...threads, engine: "typescript", unfinished: "resume" },
    });
    await expect(other).rejects.toMatchObject({ code: "E_RESUME_MISMATCH" });
    const same: RunOptions = { ...threads, engine: "onnxruntime", unfinished: "resume" };
    await executeRecipe(DEMO, output, asked, same);
    const { statistics } = JSON.parse(readFileSync(join(output, "spinfer_manifest.json"), "utf8"));
    expect(statistics.engine).toBe("onnxruntime");
  });

  it("stores what was pruned on the way, or prunes again what is damaged of it", async () => {
    const work = temporaryFolder();
    const [whole, resumed] = [join(work, "whole"), join(work, "resumed")];
    const asked = recipe(SPARSEGPT, "sequential");
    await executeRecipe(DEMO, whole, asked, threads);
    expect(existsSync(join(whole, "pruned.data"))).toBe(false);
    const stop = new AbortController();
    const run = executeRecipe(DEMO, resumed, asked, {
      ...threads,
      signal: stop.signal,
      onEvent(event) {
        if (event.type === "begin" && event.phase === "prune") stop.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ code: "E_CANCELLED" });
    const path = join(`${resumed}.spinfer-partial`, "pruned.data");
    const bytes = readFileSync(path);
    const places = prunedPlaces(`${resumed}.spinfer-journal`);
    expect(places.size).toBe(21); // of 4 blocks, but for the last: nothing comes after it
    const pruned = await openModel(whole);
    for (const [name, [begin, end]] of places) {
      const { bytes: expected } = readTensor(pruned, name);
      expect(bytes.subarray(begin, end).equals(expected), name).toBe(true);
    }
    // one weight is damaged, the later ones are cut off
    bytes[100]! ^= 1;
    writeFileSync(path, bytes.subarray(0, bytes.length / 2));
    await executeRecipe(DEMO, resumed, asked, { ...threads, unfinished: "resume" });
    expect(bytesOf(resumed).equals(bytesOf(whole))).toBe(true);
  });

  it("writes a statistics file that was named and not there, and uses it the next time", async () => {
    const work = temporaryFolder();
    const statistics = join(work, "kept");
    const [first, second] = [join(work, "first"), join(work, "second")];
    await executeRecipe(DEMO, first, recipe(WANDA), { ...threads, statistics });
    expect(existsSync(statistics)).toBe(true);
    await executeRecipe(DEMO, second, recipe(WANDA), { ...threads, statistics });
    expect(bytesOf(second).equals(bytesOf(first))).toBe(true);
    const verified = { ...threads, level: "full", against: DEMO } as const;
    await expect(verifyCheckpoint(first, verified)).resolves.toMatchObject({
      findings: [{ code: "E_STATS_MISSING" }],
    });
    await expect(verifyCheckpoint(first, { ...verified, statistics: gram })).resolves.toMatchObject(
      {
        findings: [{ code: "E_STATS_MISMATCH" }],
      },
    );
    await expect(verifyCheckpoint(first, { ...verified, statistics })).resolves.toMatchObject({
      ok: true,
    });
  });
});

/** Where a journal says that pruned weights are. */
function prunedPlaces(journal: string): Map<string, [number, number]> {
  const { records } = readJournal(journal);
  return new Map(
    (records as Record<string, unknown>[])
      .filter((record) => "pruned" in record)
      .map((record) => [
        String(record["pruned"]),
        [Number(record["begin"]), Number(record["end"])],
      ]),
  );
}

describe("what is refused", () => {
  const run = (options: RunOptions, asked = recipe(WANDA)) =>
    executeRecipe(DEMO, join(temporaryFolder(), "out"), asked, { ...threads, ...options });

  it("a method that needs activations, without text or statistics", async () => {
    const { calibration: _, ...without } = recipe(WANDA);
    await expect(run({}, without)).rejects.toMatchObject({ code: "E_STATS_MISSING" });
  });

  it("statistics without what the method needs", async () => {
    const statistics = join(temporaryFolder(), "norms");
    await calibrateModel(DEMO, statistics, recipe(WANDA), threads);
    await expect(run({ statistics }, recipe(SPARSEGPT))).rejects.toMatchObject({
      code: "E_STATS_MISSING",
    });
  });

  it("statistics of another model", async () => {
    const model = join(temporaryFolder(), "other");
    const { output } = await executeRecipe(
      DEMO,
      model,
      recipe("method: magnitude, sparsity: 0.1"),
      threads,
    );
    const asked = recipe(WANDA);
    const out = join(temporaryFolder(), "out");
    await expect(
      executeRecipe(output, out, asked, { ...threads, statistics: gram }),
    ).rejects.toMatchObject({ code: "E_STATS_MISMATCH" });
  });

  it.each([
    ["text", { data: "text" }],
    ["--nsamples 6", { nsamples: 7 }],
    ["--seqlen 64", { seqlen: 32 }],
    ["--windows first", { windows: "random" }],
    ["--mode one-pass", { mode: "sequential" }],
  ] as const)("statistics of another %s than is asked for beside them", async (found, changes) => {
    const asked = recipe(WANDA);
    const calibration = { ...asked.calibration!, ...changes };
    if ("data" in changes) {
      calibration.data = join(temporaryFolder(), "text.txt");
      writeFileSync(calibration.data, readFileSync(TEXT).subarray(0, 9000));
    }
    await expect(run({ statistics: gram }, { ...asked, calibration })).rejects.toMatchObject({
      code: "E_STATS_MISMATCH",
      detail: { found: expect.stringContaining(found), hint: expect.stringContaining("--calib") },
    });
  });

  it("a place for statistics that does not exist, before any work", async () => {
    const statistics = join(temporaryFolder(), "no", "stats");
    const events: string[] = [];
    const onEvent: RunOptions["onEvent"] = (event) => events.push(event.type);
    await expect(run({ statistics, onEvent })).rejects.toMatchObject({ code: "E_PATH" });
    expect(events).not.toContain("item");
  });

  it.each([
    ["cut short", (bytes: Buffer) => bytes.subarray(0, bytes.length - 8)],
    ["changed", (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.of(0x55)])],
    ["something else", () => Buffer.from("not a statistics file at all")],
    ["empty", () => Buffer.alloc(0)],
    ["of a wild length", () => Buffer.alloc(64, 0xff)],
  ])("a statistics file that is %s", async (_, damage) => {
    const statistics = join(temporaryFolder(), "stats");
    writeFileSync(statistics, damage(readFileSync(gram)));
    await expect(run({ statistics })).rejects.toMatchObject({ code: "E_STATS_FILE" });
  });

  it("NU-03 a text that is shorter than the windows, with how many would fit", async () => {
    const text = join(temporaryFolder(), "short.txt");
    writeFileSync(text, readFileSync(TEXT, "utf8").slice(0, 600));
    const asked = recipe(WANDA);
    const short = { ...asked, calibration: { ...asked.calibration!, data: text } };
    await expect(run({}, short)).rejects.toMatchObject({
      code: "E_TEXT_SHORT",
      detail: { hint: expect.stringContaining("--nsamples") },
    });
  });

  it("a statistics file in the place of another file", async () => {
    const output = join(temporaryFolder(), "stats");
    copyFileSync(gram, output);
    await expect(calibrateModel(DEMO, output, recipe(WANDA), threads)).rejects.toMatchObject({
      code: "E_OUTPUT_EXISTS",
    });
    rmSync(output);
  });
});

/** Sums of squares, sums and Gram matrices of all linear layers, from hooks on transformers. */
const REFERENCE = `
import json, struct, sys
import torch
from transformers import AutoModelForCausalLM

count, length = int(sys.argv[2]), int(sys.argv[3])
ids = torch.frombuffer(bytearray(sys.stdin.buffer.read()), dtype=torch.int32).reshape(count, length).long()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
seen = {}
def watch(name):
    def hook(module, inputs, output):
        x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
        squares, sums, gram = seen.get(name, (0, 0, 0))
        seen[name] = (squares + (x**2).sum(0), sums + x.sum(0), gram + x.T @ x)
    return hook
for name, module in model.model.layers.named_modules():
    if isinstance(module, torch.nn.Linear):
        module.register_forward_hook(watch(f"model.layers.{name}.weight"))
with torch.no_grad():
    for row in ids:
        model(row[None])
names = sorted(seen)
head = json.dumps([[name, seen[name][0].numel()] for name in names]).encode()
out = sys.stdout.buffer
out.write(struct.pack("<I", len(head)) + head)
for name in names:
    for part in seen[name]:
        out.write(part.numpy().astype("<f8").tobytes())
`;

describePython("statistics beside transformers", () => {
  it("equal to 1e-5", async () => {
    const model: OpenedModel = await openModel(DEMO);
    const tokenizer = await modelTokenizer(model, {});
    const all = [...tokenizer.prefix, ...tokenizer.encode(readFileSync(TEXT, "utf8"))];
    const input = Buffer.from(Int32Array.from(all.slice(0, 6 * 64)).buffer);
    const answer = runPython(REFERENCE, [DEMO, "6", "64"], { input });
    const headBytes = answer.readUInt32LE(0);
    const head = JSON.parse(answer.toString("utf8", 4, 4 + headBytes)) as [string, number][];
    const values = new Float64Array(Uint8Array.from(answer.subarray(4 + headBytes)).buffer);
    const { places } = await openStatistics(gram);
    expect(head.map(([name]) => name)).toEqual([...places.keys()].sort());
    let at = 0;
    for (const [name, cols] of head) {
      const stats = readStats(places.get(name), ["inputNorms", "inputSums", "gram"]);
      const expected = (count: number): Float64Array => {
        at += count;
        return values.subarray(at - count, at);
      };
      const squares = stats.inputNorms!.map((norm) => norm * norm);
      for (const [what, found] of [
        ["squares", squares],
        ["sums", stats.inputSums!],
        ["gram", stats.gram!],
      ] as const) {
        const wanted = expected(what === "gram" ? cols * cols : cols);
        const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const worst = found.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)),
          0,
        );
        expect(worst / largest, `${what} of ${name}`).toBeLessThan(1e-5);
      }
    }
    expect(at).toBe(values.length);
  });
});
