/** Pruners that look at activations, where inputs are odd: what they refuse and what they promise. */
import { describe, expect, it } from "vitest";
import type { ActivationStats, WeightMatrix } from "../../pruners/definePruner.ts";
import { plainDense } from "../../pruners/denseKernels.ts";
import { pruners } from "../../pruners/index.ts";
import { inverseFactor } from "../../pruners/inverseFactor.ts";
import { UNSTRUCTURED } from "../../pruners/pattern.ts";
import { dropLowest } from "../../pruners/scores.ts";
import { finiteValues } from "../../pruners/weightValues.ts";
import { createRandom } from "../helpers/random.ts";
import { wasmDense, wasmSelect } from "./kernels.ts";
import { randomInputs, randomStats, statsOf } from "./stats.ts";
import { cloneWeights, countKept, expectSameBits, randomWeights, span } from "./weights.ts";

const METHODS = ["wanda", "ria", "sparsegpt", "dsnot", "tile-balanced"] as const;
const NEEDS = ["inputNorms", "inputSums", "gram"] as const;

function prune(
  method: string,
  weight: WeightMatrix,
  stats: ActivationStats,
  sparsity = 0.5,
  options: Record<string, unknown> = {},
): WeightMatrix {
  const configured = pruners.get(method).configure({ sparsity, pattern: UNSTRUCTURED }, options);
  configured.prune(weight, { kernels: wasmSelect, dense: wasmDense, stats });
  return weight;
}

const matrix = (): WeightMatrix => randomWeights(createRandom(1), 20, 30, "BF16");

describe.each(METHODS)("%s", (method) => {
  const needs = pruners.get(method).needs;

  it("says which statistics it lacks", () => {
    for (const missing of needs) {
      const { [missing]: _, ...rest } = randomStats(30, NEEDS);
      expect(() => prune(method, matrix(), rest)).toThrow(
        expect.objectContaining({
          code: "E_STATS_MISSING",
          detail: expect.objectContaining({ tensor: matrix().name }),
        }),
      );
    }
  });

  it("refuses statistics of a matrix of another width", () => {
    expect(() => prune(method, matrix(), randomStats(31, NEEDS))).toThrow(
      expect.objectContaining({ code: "E_STATS_MISMATCH" }),
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses statistics that hold %d", (value) => {
    for (const name of needs) {
      const stats = randomStats(30, NEEDS);
      const bad = stats[name]!.slice();
      bad[7] = value;
      expect(() => prune(method, matrix(), { ...stats, [name]: bad })).toThrow(
        expect.objectContaining({
          code: "E_STATS_VALUE",
          detail: expect.objectContaining({ found: `${value} at 7` }),
        }),
      );
    }
  });

  it("counts exactly where no input ever was anything but zero", () => {
    const stats = statsOf(new Float64Array(30 * 8), 30, 2);
    for (const sparsity of [0, 0.5, 1]) {
      const configured = pruners.get(method).configure({ sparsity, pattern: UNSTRUCTURED }, {});
      const pruned = prune(method, matrix(), stats, sparsity);
      expect(countKept(pruned.bits)).toBe(configured.expectNonzeros(20, 30).expected);
    }
  });

  it("takes rows and columns of zeros", () => {
    const weight = matrix();
    weight.bits.fill(0, 60, 150);
    for (let row = 0; row < 20; row++) weight.bits[row * 30 + 4] = 0;
    const before = countKept(weight.bits);
    prune(method, weight, randomStats(30, NEEDS));
    expect(countKept(weight.bits)).toBeGreaterThan(0);
    expect(countKept(weight.bits)).toBeLessThan(before);
  });
});

it("negative norms are refused too", () => {
  const norms = new Float64Array(30).fill(1);
  norms[3] = -1;
  expect(() => prune("wanda", matrix(), { inputNorms: norms })).toThrow(
    expect.objectContaining({ code: "E_STATS_VALUE" }),
  );
});

it("Wanda drops weights of inputs that are always zero first, the leftmost before the others", () => {
  const norms = new Float64Array(8).fill(1);
  norms.fill(0, 5);
  const bits = new Uint16Array(8).fill(0x3c00);
  const weight: WeightMatrix = { name: "a.weight", rows: 1, cols: 8, dtype: "F16", bits };
  const [two, four] = [0.25, 0.5].map((sparsity) =>
    prune("wanda", cloneWeights(weight), { inputNorms: norms }, sparsity),
  );
  expect([...two!.bits].map((value) => (value === 0 ? 0 : 1))).toEqual([1, 1, 1, 1, 1, 0, 0, 1]);
  expect([...four!.bits].map((value) => (value === 0 ? 0 : 1))).toEqual([0, 1, 1, 1, 1, 0, 0, 0]);
});

it("DSnoT needs to know of how many tokens its sums are", () => {
  const { tokens: _, ...stats } = randomStats(30, NEEDS);
  expect(() => prune("dsnot", matrix(), stats)).toThrow(
    expect.objectContaining({ code: "E_STATS_MISSING" }),
  );
});

describe("SparseGPT", () => {
  it("refuses a Gram matrix that no damping makes positive definite", () => {
    const gram = new Float64Array(30 * 30).fill(-1e6);
    for (let i = 0; i < 30; i++) gram[31 * i] = 1;
    expect(() => prune("sparsegpt", matrix(), { gram })).toThrow(
      expect.objectContaining({ code: "E_STATS_SINGULAR" }),
    );
  });

  it("takes one of less text than inputs, by damping", () => {
    const stats = statsOf(randomInputs(5, 4, 30), 30, 1); // rank 4
    expect(countKept(prune("sparsegpt", matrix(), stats).bits)).toBe(300);
  });

  it("makes up for what it drops: less error than the same mask without the update", () => {
    const [rows, cols] = [40, 120];
    const stats = statsOf(randomInputs(8, 300, cols), cols, 3);
    const random = createRandom(3);
    const floats = Float32Array.from({ length: rows * cols }, () => random.next() - 0.5);
    const bits = new Uint32Array(floats.buffer);
    const dense: WeightMatrix = { name: "a.weight", rows, cols, dtype: "F32", bits };
    const updated = finiteValues(prune("sparsegpt", cloneWeights(dense), stats));
    const before = finiteValues(dense);
    const masked = before.map((value, i) => (updated[i] === 0 ? 0 : value));
    const errorOf = (after: Float64Array): number => {
      let error = 0;
      for (let row = 0; row < rows; row++) {
        for (let i = 0; i < cols; i++) {
          for (let j = 0; j < cols; j++) {
            const [a, b] = [row * cols + i, row * cols + j];
            error +=
              (before[a]! - after[a]!) * stats.gram![i * cols + j]! * (before[b]! - after[b]!);
          }
        }
      }
      return error;
    };
    expect(errorOf(updated)).toBeLessThan(0.8 * errorOf(masked));
  });
});

describe("the factor of an inverse", () => {
  it.each([1, 2, 63, 64, 65, 130, 200])("is that of H⁻¹ for %d inputs", (n) => {
    const { gram } = statsOf(randomInputs(n, 3 * n, n), n, 1);
    for (let i = 0; i < n; i++) gram![i * n + i]! += 0.5;
    const [plain, wasm] = [plainDense, wasmDense].map(
      (kernels) => inverseFactor(gram!.slice(), n, kernels)!,
    );
    expect(Buffer.from(wasm!.buffer).equals(Buffer.from(plain!.buffer))).toBe(true);
    // H · Uᵀ · U is the identity; the factor that is returned is Uᵀ
    let worst = 0;
    for (let col = 0; col < n; col++) {
      const inverse = span(0, n).map((row) => {
        let sum = 0;
        for (let k = 0; k <= Math.min(row, col); k++)
          sum += plain![row * n + k]! * plain![col * n + k]!;
        return sum;
      });
      for (let row = 0; row < n; row++) {
        let sum = row === col ? -1 : 0;
        for (let k = 0; k < n; k++) sum += gram![row * n + k]! * inverse[k]!;
        worst = Math.max(worst, Math.abs(sum));
      }
    }
    expect(worst).toBeLessThan(1e-9);
  });
});

describe("tile-balanced", () => {
  it("keeps equally many of every whole chunk, and its share of every cut one", () => {
    const [rows, cols] = [70, 150];
    const weight = randomWeights(createRandom(9), rows, cols, "F16");
    prune("tile-balanced", weight, randomStats(cols, NEEDS), 0.6);
    for (let top = 0; top < rows; top += 32) {
      for (let left = 0; left < cols; left += 64) {
        const [height, width] = [Math.min(32, rows - top), Math.min(64, cols - left)];
        let kept = 0;
        for (let i = top; i < top + height; i++) {
          for (let j = left; j < left + width; j++) kept += weight.bits[i * cols + j] === 0 ? 0 : 1;
        }
        expect(kept).toBe(height * width - Math.floor(height * width * 0.6));
      }
    }
  });

  it("asks for no statistics when it goes by magnitude", () => {
    const configured = pruners
      .get("tile-balanced")
      .configure({ sparsity: 0.5, pattern: UNSTRUCTURED }, { score: "magnitude" });
    expect(configured.needs).toEqual([]);
  });
});

describe("choosing by score", () => {
  it.each([
    ["all equal", () => 1],
    ["two values that share 48 bits", (i: number) => 1 + (i % 2) * 2 ** -52],
    ["spread over all magnitudes", (i: number) => 2 ** (((i * 37) % 2000) - 1000)],
    ["mostly zero", (i: number) => (i % 50 === 0 ? i : 0)],
    ["some infinite", (i: number) => (i % 7 === 0 ? Number.POSITIVE_INFINITY : (i * 31) % 101)],
  ])("drops exactly as many of a large matrix, and the right ones: %s", (_, scoreAt) => {
    const [rows, cols] = [1500, 1600]; // more than are compared directly
    const bits = new Uint16Array(rows * cols).fill(1);
    const drop = 1_000_003;
    dropLowest(bits, rows, cols, drop, (row, scores) => {
      for (let j = 0; j < cols; j++) scores[j] = scoreAt(row * cols + j);
    });
    let [gone, greatestGone, leastKept, lastEqualGone, firstEqualKept] = [
      0,
      0,
      Infinity,
      -1,
      Infinity,
    ];
    for (let i = 0; i < bits.length; i++) {
      const score = scoreAt(i);
      if (bits[i] === 0) {
        gone++;
        greatestGone = Math.max(greatestGone, score);
      } else leastKept = Math.min(leastKept, score);
    }
    for (let i = 0; i < bits.length; i++) {
      if (scoreAt(i) !== greatestGone) continue;
      if (bits[i] === 0) lastEqualGone = i;
      else firstEqualKept = Math.min(firstEqualKept, i);
    }
    expect(gone).toBe(drop);
    expect(greatestGone).toBeLessThanOrEqual(leastKept);
    expect(lastEqualGone).toBeLessThan(firstEqualKept);
  });
});

it("gives the same rows to every thread: a second run does not see the first", () => {
  const [first, second] = [matrix(), matrix()];
  prune("sparsegpt", first, randomStats(30, NEEDS));
  prune("wanda", randomWeights(createRandom(2), 9, 700, "BF16"), randomStats(700, ["inputNorms"]));
  prune("sparsegpt", second, randomStats(30, NEEDS));
  expectSameBits(second.bits, first.bits, "second run");
});
