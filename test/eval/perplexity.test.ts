import { describe, expect, it } from "vitest";
import { SpInferError } from "../../src/core/errors.ts";
import { compareRow } from "../../src/eval/compareLogits.ts";
import { measurePerplexity, type Step } from "../../src/eval/perplexity.ts";
import { WindowSums } from "../../src/eval/sums.ts";
import {
  planWindows,
  type WindowOptions,
  type WindowPlan,
  windowIds,
} from "../../src/eval/windows.ts";
import { createRandom } from "../helpers/random.ts";
import { bigramModel, lossOf, randomTable } from "./bigramModel.ts";

const VOCABULARY = 11;

function plan(tokens: number, options: WindowOptions): WindowPlan {
  const random = createRandom(5);
  const ids = Int32Array.from({ length: tokens }, () => random.int(VOCABULARY));
  return planWindows({ ids, prefix: [1], suffix: [], bos: 1 }, options, undefined);
}

/** Losses window by window, straight from the definition. */
function lossesByHand(windows: WindowPlan, table: Float32Array): number[][] {
  return windows.windows.map((window) => {
    const ids = [...windowIds(windows, window)];
    return ids.slice(window.scoreFrom).map((target, i) => {
      const before = ids[window.scoreFrom + i - 1]!;
      return lossOf(table.subarray(before * VOCABULARY, (before + 1) * VOCABULARY), target);
    });
  });
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

describe("perplexity", () => {
  it.each<WindowOptions>([
    { protocol: "wanda", ctx: 32 },
    { protocol: "wanda", ctx: 31, bos: "none" },
    { protocol: "llamacpp", ctx: 33 },
    { protocol: "strided", ctx: 40, stride: 7 },
    { protocol: "strided", ctx: 40, bos: "window" },
  ])("is that of the losses of a model worked out by hand: %o", async (options) => {
    const windows = plan(1000, options);
    const table = randomTable(VOCABULARY, 3);
    const { model, comparison } = await measurePerplexity(bigramModel({ table }), windows);
    const losses = lossesByHand(windows, table).flat();
    expect(losses).toHaveLength(windows.scored);
    expect(model.loss.mean).toBeCloseTo(mean(losses), 10);
    expect(model.perplexity.mean).toBeCloseTo(Math.exp(mean(losses)), 9);
    expect(comparison).toBeUndefined();
  });

  it("of the papers' protocol is exp(Σ nll_i · ctx / (nsamples · ctx))", async () => {
    const ctx = 32;
    const windows = plan(500, { protocol: "wanda", ctx });
    const table = randomTable(VOCABULARY, 3);
    const nlls = lossesByHand(windows, table).map((losses) => mean(losses) * ctx);
    const papers = Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / (nlls.length * ctx));
    const { model } = await measurePerplexity(bigramModel({ table }), windows);
    expect(model.perplexity.mean).toBeCloseTo(papers, 9);
  });

  it("has the standard error of the windows' means", async () => {
    const windows = plan(1000, { protocol: "wanda", ctx: 20 });
    const table = randomTable(VOCABULARY, 3);
    const means = lossesByHand(windows, table).map(mean);
    const middle = mean(means);
    const variance = means.reduce((sum, m) => sum + (m - middle) ** 2, 0) / (means.length - 1);
    const { model } = await measurePerplexity(bigramModel({ table }), windows);
    expect(model.loss.stderr).toBeCloseTo(Math.sqrt(variance / means.length), 10);
    expect(model.perplexity.stderr).toBeCloseTo(
      model.perplexity.mean * Math.sqrt(variance / means.length),
      10,
    );
    const one = plan(1000, { protocol: "wanda", ctx: 20, maxWindows: 1 });
    const alone = await measurePerplexity(bigramModel({ table }), one);
    expect(alone.model.perplexity.stderr).toBeUndefined();
  });

  it("takes windows through one block at a time, in groups and batches", async () => {
    const model = bigramModel({ blocks: 3 });
    await measurePerplexity(model, plan(40_000, { protocol: "wanda", ctx: 512 }));
    // 78 windows in groups of 16,384 tokens
    expect(model.calls.opened).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect(model.calls).toMatchObject({ mostOpen: 1, open: 0, largestBatch: 1024 * VOCABULARY });
  });

  it("is the same in other groups", async () => {
    const model = bigramModel();
    const windows = plan(5000, { protocol: "wanda", ctx: 64 });
    const together = await measurePerplexity(model, windows);
    const alone = await Promise.all(
      windows.windows.map((window) => measurePerplexity(model, { ...windows, windows: [window] })),
    );
    const means = alone.map(({ model: { loss } }) => loss.mean);
    expect(together.model.loss.mean).toBeCloseTo(mean(means), 10);
  });

  it("says how far it is and what it has so far", async () => {
    const steps: Step[] = [];
    const windows = plan(40_000, { protocol: "wanda", ctx: 512 });
    const { model } = await measurePerplexity(bigramModel({ blocks: 3 }), windows, {
      onStep: (step) => steps.push(step),
    });
    expect(steps.map(({ done }) => done)).toEqual(steps.map((_, i) => i + 1));
    expect(steps.at(-1)).toMatchObject({ done: steps.length, steps: steps.length });
    expect(steps.at(-1)!.name).toBe("window 78 of 78");
    expect(steps.at(-1)!.perplexity).toEqual(model.perplexity);
    expect(steps[0]).toMatchObject({ name: "block 0", perplexity: undefined });
    const early = steps.find(({ perplexity }) => perplexity !== undefined)!;
    expect(early.name).toBe("window 2 of 78");
    expect(early.perplexity!.mean).toBeCloseTo(model.perplexity.mean, -1);
  });

  it("stops when it is told to", async () => {
    const controller = new AbortController();
    const model = bigramModel();
    const run = measurePerplexity(model, plan(40_000, { protocol: "wanda", ctx: 512 }), {
      signal: controller.signal,
      onStep: ({ done }) => {
        if (done === 3) controller.abort(new Error("enough"));
      },
    });
    await expect(run).rejects.toThrow("enough");
    expect(model.calls.open).toBe(0);
  });
});

describe("a comparison with another model", () => {
  const base = { table: randomTable(VOCABULARY, 3) };
  const other = { table: randomTable(VOCABULARY, 4) };
  const windows = plan(2000, { protocol: "wanda", ctx: 50 });

  it("has the figures of both, worked out by hand", async () => {
    const { model, comparison } = await measurePerplexity(bigramModel(other), windows, {
      base: bigramModel(base),
    });
    const ours = mean(lossesByHand(windows, other.table).flat());
    const theirs = mean(lossesByHand(windows, base.table).flat());
    expect(model.loss.mean).toBeCloseTo(ours, 10);
    expect(comparison!.base.loss.mean).toBeCloseTo(theirs, 10);
    expect(comparison!.delta.mean).toBeCloseTo(Math.exp(ours - theirs) - 1, 10);

    const probabilities = (table: Float32Array, token: number): number[] => {
      const row = table.subarray(token * VOCABULARY, (token + 1) * VOCABULARY);
      return [...row].map((_, i) => Math.exp(-lossOf(row, i)));
    };
    const tokens = windows.windows.flatMap(({ begin, end }) => [
      ...windows.ids.slice(begin, end - 1),
    ]);
    const divergences = tokens.map((token) => {
      const [p, q] = [probabilities(base.table, token), probabilities(other.table, token)];
      return p.reduce((sum, share, i) => sum + share * Math.log(share / q[i]!), 0);
    });
    expect(comparison!.divergence.mean).toBeCloseTo(mean(divergences), 10);
    const largest = (list: number[]): number => list.indexOf(Math.max(...list));
    const agreed = tokens.map((token) =>
      largest(probabilities(base.table, token)) === largest(probabilities(other.table, token))
        ? 1
        : 0,
    );
    expect(comparison!.agreement.mean).toBeCloseTo(mean(agreed), 12);
    expect(comparison!.agreement.mean).toBeLessThan(1);
    expect(comparison!.divergence.mean).toBeGreaterThan(0.1);
  });

  it("with itself shows no difference and no uncertainty", async () => {
    const { comparison } = await measurePerplexity(bigramModel(base), windows, {
      base: bigramModel(base),
    });
    expect(comparison!.delta).toEqual({ mean: 0, stderr: 0 });
    expect(comparison!.divergence.mean).toBeLessThan(1e-14);
    expect(comparison!.agreement).toEqual({ mean: 1, stderr: 0 });
  });

  it("has the perplexity that is measured without one", async () => {
    const alone = await measurePerplexity(bigramModel(other), windows);
    const { model } = await measurePerplexity(bigramModel(other), windows, {
      base: bigramModel(base),
    });
    expect(model.loss.mean).toBeCloseTo(alone.model.loss.mean, 12);
  });

  it("looks at a bounded number of logits at a time", async () => {
    const vocabulary = 3000;
    const random = createRandom(1);
    const ids = Int32Array.from({ length: 4096 }, () => random.int(vocabulary));
    const wide = planWindows(
      { ids, prefix: [], suffix: [], bos: undefined },
      { protocol: "wanda", ctx: 4096 },
      undefined,
    );
    const table = new Float32Array(vocabulary ** 2);
    const model = bigramModel({ vocabulary, table, blocks: 0 });
    const { comparison } = await measurePerplexity(model, wide, { base: model });
    expect(model.calls.largestLogits).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(model.calls.largestLogits).toBeGreaterThan(4 * 1024 * 1024);
    expect(comparison!.base.perplexity.mean).toBeCloseTo(vocabulary, 6);
  });
});

describe("numbers that are none", () => {
  const windows = plan(500, { protocol: "wanda", ctx: 50 });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "%s among the logits is no loss",
    async (value) => {
      const table = randomTable(VOCABULARY, 1).fill(value, 0, 5);
      const found = {
        code: "E_ACTIVATIONS",
        exit: 4,
        message: "the losses of a window add up to NaN",
      };
      await expect(measurePerplexity(bigramModel({ table }), windows)).rejects.toMatchObject(found);
      await expect(
        measurePerplexity(bigramModel({ table }), windows, { base: bigramModel() }),
      ).rejects.toMatchObject(found);
    },
  );

  it("in the base are told as the base's", async () => {
    const what = new SpInferError("E_ACTIVATIONS", "NaN or infinite numbers after block 1", {
      hint: "look",
    });
    const base = bigramModel({ blocks: 3, failure: { block: 1, error: what } });
    await expect(measurePerplexity(bigramModel(), windows, { base })).rejects.toMatchObject({
      code: "E_ACTIVATIONS",
      message: "--base: NaN or infinite numbers after block 1",
      detail: { hint: "look" },
    });
    expect(base.calls.open).toBe(0);
    await expect(measurePerplexity(base, windows)).rejects.toBe(what);
  });

  it("of a perplexity beyond all numbers are not printed", async () => {
    const table = new Float32Array(VOCABULARY ** 2).map((_, i) =>
      i % VOCABULARY === 0 ? 0 : -5000,
    );
    await expect(measurePerplexity(bigramModel({ table }), windows)).rejects.toThrow(
      "the perplexity is too large to be a number",
    );
  });
});

describe("one row of logits", () => {
  it("holds with logits of any size", () => {
    const big = Float32Array.from([1000, 999, -1000]);
    const same = compareRow(big, big, 2);
    expect(same).toEqual({ loss: same.baseLoss, baseLoss: same.loss, divergence: 0, agrees: true });
    expect(same.loss).toBeCloseTo(2000 + Math.log(1 + Math.exp(-1)), 9);
  });

  it("finds the lowest id among equals", () => {
    const one = Float32Array.from([2, 2, 0]);
    const two = Float32Array.from([0, 2, 2]);
    expect(compareRow(one, two, 0).agrees).toBe(false);
    expect(compareRow(one, Float32Array.from([3, 3, 3]), 0).agrees).toBe(true);
  });
});

describe("sums of windows", () => {
  it("weigh windows by their tokens", () => {
    const sums = new WindowSums();
    sums.add(10, 10);
    sums.add(6, 2);
    const { mean: value, stderr } = sums.estimate();
    expect(value).toBeCloseTo(16 / 12, 12);
    // n/(n−1) = 2; (10 − 13.33)² + (6 − 2.67)² = 22.22
    expect(stderr).toBeCloseTo(Math.sqrt(2 * 22.2222222) / 12, 6);
  });
});
