import { describe, expect, it } from "vitest";
import type { WeightMatrix } from "../../pruners/definePruner.ts";
import { UNSTRUCTURED } from "../../pruners/pattern.ts";
import { random } from "../../pruners/random.ts";
import { pruneAll } from "../contract/prunerContract.ts";
import { countKept, expectSameBits } from "./weights.ts";

const [ROWS, COLS] = [256, 512];

/** Which weights of a matrix of ones are kept. */
function mask(options: Record<string, unknown>, name = "a.weight", sparsity = 0.5): Uint16Array {
  const weight: WeightMatrix = {
    ...{ name, rows: ROWS, cols: COLS, dtype: "F16" },
    bits: new Uint16Array(ROWS * COLS).fill(1),
  };
  pruneAll(random.configure({ sparsity, pattern: UNSTRUCTURED }, options), [weight]);
  return weight.bits as Uint16Array;
}

function agreement(a: Uint16Array, b: Uint16Array): number {
  return a.filter((value, i) => value === b[i]).length / a.length;
}

describe("random pruning", () => {
  it("depends on seed and name, and on nothing else", () => {
    const first = mask({ seed: 1 });
    expectSameBits(mask({ seed: 1 }), first, "the same seed");
    for (const other of [mask({ seed: 2 }), mask({}), mask({ seed: 1 }, "b.weight")]) {
      // independent masks of one half agree on half of the weights; 5 standard deviations of it
      expect(Math.abs(agreement(first, other) - 0.5)).toBeLessThan(2.5 / Math.sqrt(ROWS * COLS));
    }
  });

  it("does not depend on the weights", () => {
    const weight: WeightMatrix = {
      ...{ name: "a.weight", rows: ROWS, cols: COLS, dtype: "F16" },
      bits: Uint16Array.from({ length: ROWS * COLS }, (_, i) => 1 + (i % 30_000)),
    };
    pruneAll(random.configure({ sparsity: 0.5, pattern: UNSTRUCTURED }, {}), [weight]);
    const kept = Uint16Array.from(weight.bits, (value) => (value === 0 ? 0 : 1));
    expectSameBits(kept, mask({}), "other weights");
  });

  it("has one set of weights at half inside that at a quarter", () => {
    const [half, quarter] = [mask({}, "a.weight", 0.5), mask({}, "a.weight", 0.25)];
    expect(half.every((value, i) => value === 0 || quarter[i] === 1)).toBe(true);
  });

  // chi-squared of 2^k bins has standard deviation √(2·bins): 6 of them leave no room for bad luck
  it.each([
    ["rows", (i: number) => Math.floor(i / COLS), ROWS],
    ["columns", (i: number) => i % COLS, COLS],
    [
      "places in a chunk",
      (i: number) => (Math.floor(i / COLS) % 32) * 64 + ((i % COLS) % 64),
      2048,
    ],
  ])("spreads evenly over %s", (_, binOf, bins) => {
    for (const seed of [0, 1, 2, 3]) {
      const counts = new Float64Array(bins);
      mask({ seed }).forEach((value, i) => {
        counts[binOf(i)]! += value;
      });
      const each = (ROWS * COLS) / bins;
      const variance = each / 4;
      const chi = counts.reduce((sum, count) => sum + (count - each / 2) ** 2 / variance, 0);
      expect(Math.abs(chi - bins)).toBeLessThan(6 * Math.sqrt(2 * bins));
    }
  });

  it("has no more neighbours alike than chance gives", () => {
    const kept = mask({ seed: 5 });
    for (const distance of [1, 2, 8, 64, COLS]) {
      const pairs = kept.length - distance;
      const alike = kept.subarray(distance).filter((value, i) => value === kept[i]).length;
      expect(Math.abs(alike / pairs - 0.5), `${distance} apart`).toBeLessThan(
        2.5 / Math.sqrt(pairs),
      );
    }
  });

  it("never lets a group reach into the next row", () => {
    // 2 × 2: each row is one short group of 2:4, which keeps both
    const bits = Uint16Array.of(1, 1, 1, 1);
    const weight: WeightMatrix = { name: "a.weight", rows: 2, cols: 2, dtype: "F16", bits };
    const configured = random.configure({ sparsity: 0, pattern: { kind: "n:m", n: 2, m: 4 } }, {});
    pruneAll(configured, [weight]);
    expect(countKept(bits)).toBe(4);
    expect(configured.expectNonzeros(2, 2)).toEqual({ most: 4, expected: 4 });
  });

  it.each([
    [{ seed: -1 }, "seed"],
    [{ seed: 2 ** 32 }, "seed"],
    [{ seed: 1.5 }, "seed"],
    [{ seed: "1" }, "seed"],
    [{ scope: "model" }, "scope"],
  ])("refuses %o", (options, option) => {
    expect(() => random.configure({ sparsity: 0.5, pattern: UNSTRUCTURED }, options)).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        message: expect.stringContaining(`method random, option ${option}: `),
      }),
    );
  });
});
