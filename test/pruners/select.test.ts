import { describe, expect, it } from "vitest";
import { plainDense } from "../../pruners/denseKernels.ts";
import { lowestThreshold, plainSelect, type Threshold } from "../../pruners/select.ts";
import { createRandom } from "../helpers/random.ts";
import { allSelects, wasmDense, wasmSelect } from "./kernels.ts";
import { expectSameBits } from "./weights.ts";

describe("lowestThreshold", () => {
  it("drops exactly as many as asked, by sorting and by counting alike", () => {
    for (const count of [1, 2, 100, 255, 256, 257, 5000, 40_000]) {
      const random = createRandom(count);
      // anywhere, a few values, and many that differ in their lower half alone
      const keys = Uint32Array.from({ length: count }, () =>
        random.pick([random.bits(), random.int(7) * 0x1000_1001, 0x3f80_0000 + random.int(65_536)]),
      );
      const sorted = keys.slice().sort();
      for (const drop of [1, Math.ceil(count / 3), count - 1, count].filter((n) => n >= 1)) {
        const { key, ties } = lowestThreshold(count, (i) => keys[i]!, drop);
        const below = sorted.filter((value) => value < key).length;
        const equal = sorted.filter((value) => value === key).length;
        expect(below + ties, `${drop} of ${count}`).toBe(drop);
        expect(ties >= 0 && ties <= equal).toBe(true);
      }
    }
  });
});

describe.each(allSelects)("the $name kernels", (kernels) => {
  it("drop below a threshold and say how many ties are left over", () => {
    const bits = Uint16Array.of(5, 0x8005, 4, 6, 5, 5, 0x8007, 3, 5, 9, 5);
    const cases: readonly (readonly [Threshold, number, number[]])[] = [
      [{ key: 5, ties: 0 }, 0, [5, 0x8005, 0, 6, 5, 5, 0x8007, 0, 5, 9, 5]],
      [{ key: 5, ties: 2 }, 0, [0, 0, 0, 6, 5, 5, 0x8007, 0, 5, 9, 5]],
      [{ key: 5, ties: 5 }, 0, [0, 0, 0, 6, 0, 0, 0x8007, 0, 0, 9, 5]],
      [{ key: 5, ties: 9 }, 3, [0, 0, 0, 6, 0, 0, 0x8007, 0, 0, 9, 0]],
      [{ key: 0, ties: 4 }, 4, [...bits]],
    ];
    for (const [threshold, leftOver, expected] of cases) {
      const copy = bits.slice();
      expect(kernels.dropBelow(copy, threshold)).toBe(leftOver);
      expect([...copy]).toEqual(expected);
    }
  });

  it("carry ties over from one batch to the next", () => {
    const bits = new Uint16Array(3 << 19).fill(1);
    const ties = (2 << 19) + 5;
    expect(kernels.dropBelow(bits, { key: 1, ties })).toBe(0);
    expect(bits.indexOf(1)).toBe(ties);
    expect(bits.lastIndexOf(0)).toBe(ties - 1);
  });

  it("count keys without their signs", () => {
    const random = createRandom(1);
    const bits = Uint16Array.from({ length: (1 << 19) + 77 }, () => random.int(65_536));
    const counts = kernels.histogram(bits);
    const expected = new Uint32Array(32_768);
    for (const value of bits) expected[value & 0x7fff]!++;
    expectSameBits(counts, expected, "counts");
  });

  it("count what is not finite", () => {
    const bits = Uint16Array.of(0x7bff, 0x7c00, 0xfc00, 0x7e00, 0xffff, 0xfbff, 0, 0x8000, 0x7c01);
    expect(kernels.countNonfinite(bits, 0x7c00)).toBe(5);
    expect(kernels.countNonfinite(bits, 0x7f80)).toBe(1);
    const floats = Uint32Array.of(0x7f7f_ffff, 0x7f80_0000, 0xff80_0000, 0xffff_ffff, 0x3f80_0000);
    expect(kernels.countNonfinite(floats, 0x7f80_0000)).toBe(3);
  });

  it("drop the very first of equals at every length around a vector", () => {
    for (let count = 1; count <= 40; count++) {
      for (let drop = 0; drop <= count; drop++) {
        const bits = new Uint16Array(count).fill(0x3c00);
        kernels.dropLowest(bits, drop);
        expect([...bits]).toEqual(Array.from({ length: count }, (_, i) => (i < drop ? 0 : 0x3c00)));
      }
    }
  });
});

describe.each([
  ["plain", plainDense],
  ["WebAssembly", wasmDense],
])("the lowest scores, %s", (_, { markLowest }) => {
  /** An order in which the middle of first, middle and last is mostly next to the least. */
  function unevenSplits(count: number): Float64Array {
    const half = count / 2;
    return Float64Array.from({ length: count }, (_, i) => {
      if (i >= half) return 2 * (i - half + 1);
      return i % 2 === 0 ? i + 1 : half + i + (half % 2 === 0 ? 0 : 1);
    });
  }
  const random = createRandom(7);
  // one bin of the counts holds them all: so close to each other are they
  const squeezed = (scores: Float64Array): Float64Array =>
    scores.map((score) => 1 + score * 2 ** -30);
  it.each([
    ["ascending", (n: number) => Float64Array.from({ length: n }, (_, i) => i)],
    ["descending", (n: number) => Float64Array.from({ length: n }, (_, i) => n - i)],
    ["all equal", (n: number) => new Float64Array(n)],
    ["two values", (n: number) => Float64Array.from({ length: n }, (_, i) => i % 2)],
    ["up and down", (n: number) => Float64Array.from({ length: n }, (_, i) => Math.min(i, n - i))],
    ["an order against splitting", unevenSplits],
    ["at random", (n: number) => Float64Array.from({ length: n }, () => random.int(2 ** 29))],
  ])("are those that a stable sort puts first: %s", (__, make) => {
    for (const count of [1, 24, 25, 400, 20_000, 40_000]) {
      const scores = squeezed(make(count));
      const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]! || a - b);
      for (const drop of [1, count >> 2, count >> 1, count]) {
        const expected = new Uint8Array(count);
        for (const at of order.slice(0, drop)) expected[at] = 1;
        // a second row, so that nothing is left of the first
        const last = count - 1;
        const rowScores = (row: number, target: Float64Array): void => {
          for (let i = 0; i < count; i++) target[i] = scores[row === 0 ? i : last - i]!;
        };
        const found: Uint8Array[] = [];
        markLowest({ rows: 2, cols: count }, drop, rowScores, (_row, marks) =>
          found.push(marks.slice()),
        );
        expect(found[0]).toEqual(expected);
        expect(found[1]!.reduce((sum, mark) => sum + mark, 0)).toBe(drop);
      }
    }
  });
});

describe("plain and WebAssembly kernels", () => {
  it("agree on random bits, NaN and infinity among them", () => {
    for (let seed = 0; seed < 400; seed++) {
      const random = createRandom(seed);
      const [rows, cols] = [1 + random.int(20), 1 + random.int(300)];
      const width = random.pick([2, 16, 300, 65_536]);
      const step = Math.floor(65_536 / width);
      const bits = Uint16Array.from({ length: rows * cols }, () => random.int(width) * step);
      const drop = random.int(cols + 1);
      const m = 2 + random.int(31);
      const n = 1 + random.int(m - 1);
      const threshold = { key: random.int(0x8000), ties: random.int(50) };
      const results = [plainSelect, wasmSelect].map((kernels) => {
        const copies = Array.from({ length: 4 }, () => bits.slice());
        kernels.dropLowestPerRow(copies[0]!, rows, cols, drop);
        kernels.dropLowest(copies[1]!, drop * rows);
        kernels.keepNOfM(copies[2]!, rows, cols, n, m);
        const left = kernels.dropBelow(copies[3]!, threshold);
        return { copies, left, nonfinite: kernels.countNonfinite(bits, 0x7c00) };
      });
      const [plain, wasm] = [results[0]!, results[1]!];
      wasm.copies.forEach((copy, i) => {
        expectSameBits(copy, plain.copies[i]!, `seed ${seed}, kernel ${i}`);
      });
      expect([wasm.left, wasm.nonfinite]).toEqual([plain.left, plain.nonfinite]);
    }
  });
});
