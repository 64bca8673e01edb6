import { describe, expect, it } from "vitest";
import type { WeightMatrix } from "../../pruners/definePruner.ts";
import { magnitude } from "../../pruners/magnitude.ts";
import { dropCount, type Pattern, UNSTRUCTURED } from "../../pruners/pattern.ts";
import { WEIGHT_DTYPES } from "../../src/core/dtype.ts";
import { pruneAll } from "../contract/prunerContract.ts";
import { describePython, runPython } from "../helpers/python.ts";
import { createRandom } from "../helpers/random.ts";
import { allSelects, wasmSelect } from "./kernels.ts";
import {
  cloneWeights,
  expectSameBits,
  groupsOf,
  keyOf,
  randomWeights,
  rowsOf,
  sortAndDrop,
  span,
} from "./weights.ts";

const unstructured = (sparsity: number, scope: string) =>
  magnitude.configure({ sparsity, pattern: UNSTRUCTURED }, { scope });
const nOfM = (n: number, m: number) =>
  magnitude.configure({ sparsity: 0, pattern: { kind: "n:m", n, m } }, {});

/** fp16 bits of small whole numbers. */
const FP16: Readonly<Record<number, number>> = {
  0: 0,
  1: 0x3c00,
  2: 0x4000,
  3: 0x4200,
  4: 0x4400,
  5: 0x4500,
  6: 0x4600,
};
function small(values: readonly (readonly number[])[]): WeightMatrix {
  const bits = Uint16Array.from(values.flat(), (v) => FP16[Math.abs(v)]! + (v < 0 ? 0x8000 : 0));
  const cols = values[0]!.length;
  return { name: "a.weight", rows: values.length, cols, dtype: "F16", bits };
}
function afterwards(weight: WeightMatrix): number[][] {
  const value = (bits: number): number => {
    const size = Number(Object.entries(FP16).find(([, b]) => b === bits % 0x8000)![0]);
    return bits >= 0x8000 ? -size : size;
  };
  return [...rowsOf(weight)].map((row) => row.map((i) => value(weight.bits[i]!)));
}

describe("magnitude by hand", () => {
  const matrix = [
    [1, -2, 3, 4],
    [-1, 6, 5, -2],
    [2, 1, 3, 1],
  ];

  it("drops the least of the matrix, lowest index first", () => {
    // four of 1, three of 2: six go, so the last 2 in index order stays
    const weight = small(matrix);
    pruneAll(unstructured(0.5, "matrix"), [weight]);
    expect(afterwards(weight)).toEqual([
      [0, 0, 3, 4],
      [0, 6, 5, 0],
      [2, 0, 3, 0],
    ]);
  });

  it("drops the least of each row", () => {
    const weight = small(matrix);
    pruneAll(unstructured(0.5, "row"), [weight]);
    expect(afterwards(weight)).toEqual([
      [0, 0, 3, 4],
      [0, 6, 5, 0],
      [2, 0, 3, 0],
    ]);
  });

  it("keeps the two greatest of four, and up to two of a shorter last group", () => {
    const weight = small([
      [1, 2, 3, 4, 5, 6],
      [4, 4, 4, 4, 1, -1],
      [0, 1, 0, 2, 0, 1],
    ]);
    pruneAll(nOfM(2, 4), [weight]);
    expect(afterwards(weight)).toEqual([
      [0, 0, 3, 4, 5, 6],
      [0, 0, 4, 4, 1, -1],
      [0, 1, 0, 2, 0, 1],
    ]);
  });

  it("takes −0.0 for the least weight, and writes +0.0", () => {
    const bits = Uint16Array.of(0x0001, 0x8000, 0x0002, 0x8003);
    pruneAll(unstructured(0.25, "matrix"), [{ ...small([[0, 0, 0, 0]]), bits }]);
    expect([...bits]).toEqual([1, 0, 2, 0x8003]);
  });

  it("drops infinity only when nothing finite is left, and NaN last", () => {
    const bits = Uint16Array.of(0x7e01, 0x7c00, 0x3c00, 0xfc00);
    const left = [0.25, 0.5, 0.75].map((sparsity) => {
      const copy = bits.slice();
      pruneAll(unstructured(sparsity, "matrix"), [{ ...small([[0, 0, 0, 0]]), bits: copy }]);
      return [...copy];
    });
    expect(left).toEqual([
      [0x7e01, 0x7c00, 0, 0xfc00],
      [0x7e01, 0, 0, 0xfc00],
      [0x7e01, 0, 0, 0],
    ]);
  });

  it("refuses a scope it does not have", () => {
    expect(() => unstructured(0.5, "layer")).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        message: expect.stringMatching(/^method magnitude, option scope: .*"matrix"/),
      }),
    );
  });

  it("says that a survey is missing where scope model gets no decision", () => {
    expect(() =>
      unstructured(0.5, "model").prune(small(matrix), { kernels: wasmSelect, stats: {} }),
    ).toThrow(
      expect.objectContaining({ code: "E_INTERNAL", message: "a.weight: no decision was made" }),
    );
  });
});

describe.each(WEIGHT_DTYPES)("magnitude of %s against sorting", (dtype) => {
  it.each(allSelects)("drops what a stable sort puts first ($name)", (kernels) => {
    for (let seed = 0; seed < 150; seed++) {
      const random = createRandom(seed);
      const [rows, cols] = [1 + random.int(40), 1 + random.int(90)];
      const sparsity = random.pick([0.1, 0.5, 0.6, 0.9, random.next()]);
      const distinct = random.pick([1, 2, 5, 100, Number.POSITIVE_INFINITY]);
      const weight = randomWeights(random, rows, cols, dtype, distinct);
      const drop = (size: number): number => dropCount(size, sparsity);
      for (const scope of ["matrix", "row"] as const) {
        const [expected, found] = [cloneWeights(weight), cloneWeights(weight)];
        const groups = scope === "row" ? rowsOf(weight) : [span(0, rows * cols)];
        sortAndDrop(expected, groups, drop);
        pruneAll(unstructured(sparsity, scope), [found], kernels);
        expectSameBits(found.bits, expected.bits, `seed ${seed}, ${scope}`);
      }
    }
  });

  it.each(allSelects)("keeps N of M for every N < M ≤ 32 ($name)", (kernels) => {
    let seed = 0;
    for (let m = 2; m <= 32; m++) {
      for (let n = 1; n < m; n++) {
        const random = createRandom(seed++);
        // over eight groups a row, so that all of the vector path, its rest and a tail are met
        const cols = random.pick([8 * m, 9 * m, 8 * m + 1 + random.int(m), 1 + random.int(m)]);
        const weight = randomWeights(random, 3, cols, dtype, random.pick([2, 6, 1000]));
        const expected = cloneWeights(weight);
        sortAndDrop(expected, groupsOf(weight, m), (size) => size - Math.min(n, size));
        pruneAll(nOfM(n, m), [weight], kernels);
        expectSameBits(weight.bits, expected.bits, `${n}:${m}, ${cols} columns`);
      }
    }
  });
});

describe("magnitude over batches", () => {
  // the WebAssembly kernels work on half a million weights at a time
  it.each([
    [3, 400_000],
    [1100, 1000],
    [1, 1_050_001],
  ])("is the same for %d × %d in both kernels", (rows, cols) => {
    const weight = randomWeights(createRandom(rows), rows, cols, "BF16", 3000);
    const amounts: readonly (readonly [number, Pattern, string])[] = [
      [0.5, UNSTRUCTURED, "matrix"],
      [0.7, UNSTRUCTURED, "row"],
      [0.5, UNSTRUCTURED, "model"],
      [0, { kind: "n:m", n: 2, m: 4 }, "matrix"],
      [0, { kind: "n:m", n: 5, m: 9 }, "matrix"],
    ];
    for (const [sparsity, pattern, scope] of amounts) {
      const results = allSelects.map((kernels) => {
        const copy = cloneWeights(weight);
        pruneAll(magnitude.configure({ sparsity, pattern }, { scope }), [copy], kernels);
        return copy.bits;
      });
      expectSameBits(results[1]!, results[0]!, `${scope} ${pattern.kind}`);
    }
  });
});

describe("magnitude of the model", () => {
  it.each(WEIGHT_DTYPES)("is one stable sort over all matrices of %s", (dtype) => {
    for (let seed = 0; seed < 60; seed++) {
      const random = createRandom(seed);
      const distinct = random.pick([1, 3, 50, Number.POSITIVE_INFINITY]);
      const sparsity = random.pick([0, 0.3, 0.5, 0.9, 1, random.next()]);
      const weights = Array.from({ length: 1 + random.int(6) }, (_, i) => ({
        ...randomWeights(random, 1 + random.int(30), 1 + random.int(40), dtype, distinct),
        name: `model.layers.${i}.weight`,
      }));
      const all = weights.flatMap(({ bits }, matrix) =>
        Array.from(bits, (value, index) => ({ matrix, index, key: keyOf(value, dtype) })),
      );
      all.sort((a, b) => a.key - b.key || a.matrix - b.matrix || a.index - b.index);
      const expected = weights.map(({ bits }) => bits.slice());
      for (const { matrix, index } of all.slice(0, dropCount(all.length, sparsity))) {
        expected[matrix]![index] = 0;
      }
      pruneAll(unstructured(sparsity, "model"), weights, random.pick(allSelects));
      weights.forEach(({ bits, name }, i) => {
        expectSameBits(bits, expected[i]!, `seed ${seed}, ${name}`);
      });
    }
  });

  it("tells weights of F32 apart that share their upper half", () => {
    const random = createRandom(4);
    const bits = Uint32Array.from({ length: 3000 }, () => 0x3f80_0000 + random.int(65_536));
    const expected = bits.slice();
    const weight = { name: "a.weight", rows: 30, cols: 100, dtype: "F32" as const, bits };
    sortAndDrop({ ...weight, bits: expected }, [span(0, 3000)], () => 1700);
    pruneAll(unstructured(1700 / 3000, "model"), [weight]);
    expectSameBits(bits, expected, "model");
  });

  it("drops more where weights are small", () => {
    const random = createRandom(9);
    const weights = [0.5, 1].map((scale, i) => {
      const bits = Uint16Array.from({ length: 4000 }, () => random.int(0x4000 * scale));
      return { name: `${i}.weight`, rows: 40, cols: 100, dtype: "F16" as const, bits };
    });
    pruneAll(unstructured(0.5, "model"), weights);
    const kept = weights.map(({ bits }) => bits.filter((value) => value !== 0).length);
    expect(kept[0]).toBeLessThan(0.6 * kept[1]!); // half, with evenly drawn keys
    expect(kept[0]! + kept[1]!).toBe(4000);
  });

  it("refuses to compare weights of different dtypes", () => {
    const { survey } = unstructured(0.5, "model");
    const item = { rows: 2, cols: 2 };
    const items = [
      { name: "a.weight", dtype: "F16" as const, ...item },
      { name: "b.weight", dtype: "F32" as const, ...item },
    ];
    expect(() => survey!.start(items)).toThrow(
      expect.objectContaining({
        code: "E_DTYPE_UNSUPPORTED",
        message: "scope model compares weights of one dtype",
        detail: expect.objectContaining({ found: "F16 and F32" }),
      }),
    );
  });

  it("has nothing to do for no matrices", () => {
    expect(() => pruneAll(unstructured(0.5, "model"), [])).not.toThrow();
  });
});

/**
 * The same masks from NumPy (stable argsort of float64 magnitudes) and PyTorch (topk of groups).
 * Input: rows, cols, dtype code, n, m, dropped of the matrix, dropped of a row, then the bits.
 */
const REFERENCE = `
import struct, sys
import numpy as np
import torch

def widen(bits, dtype):
    if dtype == 0: return bits.view(np.float16).astype(np.float64)
    if dtype == 1: return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return bits.view(np.float32).astype(np.float64)

def drop_first(size, order, drop):
    keep = np.ones(size, bool)
    keep[order[:drop]] = False
    return keep

stdin = sys.stdin.buffer
while head := stdin.read(28):
    rows, cols, dtype, n, m, of_matrix, of_row = struct.unpack("<7I", head)
    kind = np.dtype("<u4" if dtype == 2 else "<u2")
    bits = np.frombuffer(stdin.read(rows * cols * kind.itemsize), kind).reshape(rows, cols)
    size = np.abs(widen(bits, dtype))
    flat = size.reshape(-1)
    matrix = drop_first(flat.size, np.argsort(flat, kind="stable"), of_matrix)
    by_row = [drop_first(cols, np.argsort(row, kind="stable"), of_row) for row in size]
    whole = cols // m * m
    pattern = np.zeros((rows, cols), bool)
    groups = torch.from_numpy(size[:, :whole].copy()).reshape(rows, -1, m)
    kept = torch.zeros_like(groups, dtype=torch.bool)
    if groups.numel(): kept.scatter_(2, groups.topk(n, dim=2).indices, True)
    pattern[:, :whole] = kept.reshape(rows, whole).numpy()
    if cols > whole:
        rest = torch.from_numpy(size[:, whole:].copy())
        last = torch.zeros_like(rest, dtype=torch.bool)
        last.scatter_(1, rest.topk(min(n, cols - whole), dim=1).indices, True)
        pattern[:, whole:] = last.numpy()
    for keep in (matrix, np.concatenate(by_row), pattern.reshape(-1)):
        sys.stdout.buffer.write(keep.astype(np.uint8).tobytes())
`;

describePython("magnitude against NumPy and PyTorch in float64", () => {
  it("keeps the same weights: matrix and row by stable argsort, N:M by topk", () => {
    const cases = Array.from({ length: 120 }, (_, seed) => {
      const random = createRandom(500 + seed);
      const dtype = WEIGHT_DTYPES[seed % 3]!;
      const [rows, cols] = [1 + random.int(30), 1 + random.int(120)];
      const m = 2 + random.int(31);
      const n = 1 + random.int(m - 1);
      // topk promises nothing about ties, so no two weights are equal here
      const weight = distinctWeights(random, rows, cols, dtype);
      return { weight, n, m, sparsity: random.pick([0.5, 0.6, 0.29, random.next()]) };
    });
    const input = cases.flatMap(({ weight: { rows, cols, dtype, bits }, n, m, sparsity }) => {
      const head = Uint32Array.of(
        ...[rows, cols, WEIGHT_DTYPES.indexOf(dtype), n, m],
        ...[dropCount(rows * cols, sparsity), dropCount(cols, sparsity)],
      );
      return [Buffer.from(head.buffer), Buffer.from(bits.buffer)];
    });
    const masks = runPython(REFERENCE, [], { input: Buffer.concat(input) });
    let at = 0;
    for (const { weight, n, m, sparsity } of cases) {
      for (const configured of [
        unstructured(sparsity, "matrix"),
        unstructured(sparsity, "row"),
        nOfM(n, m),
      ]) {
        const pruned = cloneWeights(weight);
        pruneAll(configured, [pruned], wasmSelect);
        const kept = Uint8Array.from(pruned.bits, (value) => (value === 0 ? 0 : 1));
        expect(masks.subarray(at, at + kept.length).equals(kept)).toBe(true);
        at += kept.length;
      }
    }
    expect(at).toBe(masks.length);
  }, 120_000);
});

/** Finite weights of which no two have the same magnitude. */
function distinctWeights(
  random: ReturnType<typeof createRandom>,
  rows: number,
  cols: number,
  dtype: WeightMatrix["dtype"],
): WeightMatrix {
  const weight = randomWeights(random, rows, cols, dtype);
  const step = dtype === "F32" ? 100_003 : 7;
  const order = span(0, rows * cols).sort((a, b) => weight.bits[a]! - weight.bits[b]! || a - b);
  const sign = dtype === "F32" ? 2 ** 31 : 2 ** 15;
  order.forEach((index, rank) => {
    weight.bits[index] = 1 + step * rank + (random.chance(0.5) ? sign : 0);
  });
  return weight;
}
