/** Statistics of the embedded model: what they hold, how they are used again, and that they equal PyTorch's. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { calibrateModel } from "../../../src/pipeline/calibration/calibrateModel.ts";
import { openStatistics } from "../../../src/pipeline/calibration/statisticsFile.ts";
import { executeRecipe, type RunOptions } from "../../../src/pipeline/execute.ts";
import { modelTokenizer } from "../../../src/pipeline/modelTokenizer.ts";
import type { OpenedModel } from "../../../src/pipeline/openModel.ts";
import { openModel } from "../../../src/pipeline/openModel.ts";
import { type Recipe, readRecipe } from "../../../src/pipeline/recipe/index.ts";
import { readStats } from "../../../src/pipeline/work/activationStats.ts";
import { temporaryFolder } from "../../helpers/models.ts";
import { describePython, runPython } from "../../helpers/python.ts";
import { DEMO, gatheredGram, recipe, TEXT, threads, WANDA } from "./runs.ts";

const gram = gatheredGram();

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
