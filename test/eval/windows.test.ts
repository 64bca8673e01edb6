import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SpInferError } from "../../src/core/errors.ts";
import {
  planWindows,
  type TokenisedText,
  tokensRead,
  type WindowOptions,
  windowIds,
} from "../../src/eval/windows.ts";

const text = (tokens: number, more: Partial<TokenisedText> = {}): TokenisedText => ({
  ids: Int32Array.from({ length: tokens }, (_, i) => 10 + i),
  prefix: [1],
  suffix: [],
  bos: 1,
  ...more,
});

function complaint(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof SpInferError) return `${thrown.code} ${thrown.message}`;
    throw thrown;
  }
  return "accepted";
}

describe("windows as the papers have them", () => {
  it("are disjoint, begin with one BOS in all, and drop what is left", () => {
    const plan = planWindows(text(9), { protocol: "wanda", ctx: 4 }, undefined);
    expect(plan).toMatchObject({ ctx: 4, stride: 4, bos: "once", bosId: 1, scored: 6 });
    expect(plan.windows).toEqual([
      { begin: 0, end: 4, scoreFrom: 1 },
      { begin: 4, end: 8, scoreFrom: 1 },
    ]);
    expect(plan.windows.map((window) => [...windowIds(plan, window)])).toEqual([
      [1, 10, 11, 12],
      [13, 14, 15, 16],
    ]);
  });

  it("have 2048 tokens, or as many as the model reads", () => {
    expect(planWindows(text(9000), { protocol: "wanda" }, undefined).ctx).toBe(2048);
    expect(planWindows(text(9000), { protocol: "wanda" }, 512).ctx).toBe(512);
    expect(planWindows(text(9000), { protocol: "llamacpp" }, 4096).ctx).toBe(512);
  });

  it("can be without a BOS, and fewer", () => {
    const plan = planWindows(text(9), { protocol: "wanda", ctx: 4, bos: "none", maxWindows: 1 }, 4);
    expect(plan.windows).toHaveLength(1);
    expect(plan).toMatchObject({ bosId: undefined, scored: 3 });
    expect([...windowIds(plan, plan.windows[0]!)]).toEqual([10, 11, 12, 13]);
  });

  it("take what the tokenizer puts after a text too", () => {
    const plan = planWindows(text(3, { suffix: [2] }), { protocol: "wanda", ctx: 5 }, undefined);
    expect([...plan.ids]).toEqual([1, 10, 11, 12, 2]);
  });
});

describe("windows as llama.cpp has them", () => {
  it("score from the token after the middle, and begin with BOS each", () => {
    const plan = planWindows(text(17), { protocol: "llamacpp", ctx: 8 }, undefined);
    // llama.cpp counts n_ctx − n_ctx/2 − 1 predictions a chunk
    expect(plan).toMatchObject({ bos: "window", scored: 2 * (8 - 4 - 1) });
    expect(plan.windows.map(({ scoreFrom }) => scoreFrom)).toEqual([5, 5]);
    expect(plan.windows.map((window) => [...windowIds(plan, window)].slice(0, 2))).toEqual([
      [1, 10],
      [1, 18], // 17 gave way
    ]);
  });

  it("have no BOS where the tokenizer adds none", () => {
    const plan = planWindows(text(16, { prefix: [] }), { protocol: "llamacpp", ctx: 8 }, undefined);
    expect(plan).toMatchObject({ bos: "none", bosId: undefined });
    expect(windowIds(plan, plan.windows[1]!)[0]).toBe(18);
  });
});

describe("windows with a stride", () => {
  it("overlap, and the last is as long as the text is", () => {
    const plan = planWindows(
      text(10, { prefix: [] }),
      { protocol: "strided", ctx: 4, stride: 3 },
      4,
    );
    expect(plan.windows).toEqual([
      { begin: 0, end: 4, scoreFrom: 1 },
      { begin: 3, end: 7, scoreFrom: 1 },
      { begin: 6, end: 10, scoreFrom: 1 },
    ]);
    const half = planWindows(text(11, { prefix: [] }), { protocol: "strided", ctx: 6 }, undefined);
    expect(half.windows).toEqual([
      { begin: 0, end: 6, scoreFrom: 1 },
      { begin: 3, end: 9, scoreFrom: 3 },
      { begin: 6, end: 11, scoreFrom: 3 },
    ]);
  });

  it("score every token but the first once, with enough before it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 200 }),
        fc.integer({ min: 2, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        (tokens, ctx, wanted) => {
          const stride = Math.min(wanted, ctx - 1);
          const { windows, scored } = planWindows(
            text(tokens, { prefix: [] }),
            { protocol: "strided", ctx, stride },
            undefined,
          );
          const times = new Array<number>(tokens).fill(0);
          for (const [i, { begin, end, scoreFrom }] of windows.entries()) {
            for (let at = begin + scoreFrom; at < end; at++) times[at]!++;
            if (i > 0) expect(scoreFrom).toBeGreaterThanOrEqual(Math.min(ctx - stride, 1));
            expect(end - begin).toBeLessThanOrEqual(ctx);
          }
          expect(times).toEqual([0, ...new Array<number>(tokens - 1).fill(1)]);
          expect(scored).toBe(tokens - 1);
        },
      ),
    );
  });
});

describe("windows that cannot be", () => {
  it.each([
    [
      () => planWindows(text(2), { protocol: "wanda", ctx: 4 }, undefined),
      "E_TEXT_SHORT the text has 3 tokens, fewer than a window",
    ],
    [
      () => planWindows(text(0), { protocol: "strided" }, undefined),
      "E_TEXT_SHORT the text has 1 tokens, fewer than a window",
    ],
    [
      () => planWindows(text(9), { protocol: "wanda", ctx: 1 }, undefined),
      "E_OPTION --ctx: 1 tokens predict nothing",
    ],
    [
      () => planWindows(text(9), { protocol: "wanda", ctx: 5 }, 4),
      "E_OPTION --ctx: the model reads at most 4 tokens",
    ],
    [
      () => planWindows(text(9), { protocol: "wanda", stride: 2 }, 4),
      "E_USAGE --stride is not used with --protocol wanda",
    ],
    [
      () => planWindows(text(9), { protocol: "strided", ctx: 4, stride: 5 }, 4),
      "E_OPTION --stride: 5 would leave tokens out",
    ],
    [
      () => planWindows(text(9, { bos: undefined }), { protocol: "wanda", bos: "window" }, 4),
      "E_OPTION --bos window: the tokenizer has no token that begins texts",
    ],
  ])("are refused: %#", (run, message) => {
    expect(complaint(run)).toBe(message);
  });
});

describe("a number of windows", () => {
  it("is planned alike from the whole text and from what is read of it", () => {
    const options = fc.record({
      protocol: fc.constantFrom("wanda" as const, "llamacpp" as const, "strided" as const),
      ctx: fc.integer({ min: 4, max: 9 }),
      bos: fc.constantFrom("none" as const, "once" as const, "window" as const),
      maxWindows: fc.integer({ min: 1, max: 5 }),
    });
    const strides = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(options, strides, fc.integer({ min: 9, max: 60 }), (some, stride, tokens) => {
        const given: WindowOptions =
          some.protocol === "strided" ? { ...some, stride: Math.min(stride, some.ctx) } : some;
        const whole = text(tokens, { suffix: [2] });
        const read = { ...whole, ids: whole.ids.subarray(0, tokensRead(given, undefined)) };
        const plan = planWindows(whole, given, undefined);
        expect(planWindows(read, given, undefined)).toEqual(plan);
        const full = plan.windows.length === given.maxWindows;
        if (full) expect(plan.ids.length).toBe(plan.windows.at(-1)!.end);
      }),
    );
  });

  it("is read no further than its last window; all of the text without one", () => {
    expect(tokensRead({ protocol: "wanda", ctx: 4, maxWindows: 3 }, undefined)).toBe(12);
    expect(tokensRead({ protocol: "strided", ctx: 4, stride: 1, maxWindows: 3 }, 4)).toBe(6);
    expect(tokensRead({ protocol: "wanda", maxWindows: 2 }, 512)).toBe(1024);
    expect(tokensRead({ protocol: "wanda", ctx: 4 }, undefined)).toBeUndefined();
  });
});
