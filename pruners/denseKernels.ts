/**
 * What Cholesky factors, weight updates and masks are made of, in float64: a product, elimination in
 * rows, and the least of scores. Every sum is taken in the same order by the plain twins here and by
 * wasm/dense.wasm, so that both give the same bits.
 */
import { createArena } from "../src/core/wasmMemory.ts";
import { LowestMarker, type RowScores, rankOf } from "./scores.ts";

/** A part of a row-major matrix: where it begins, and how far one row is from the next. */
export interface DensePart {
  readonly values: Float64Array;
  readonly begin: number;
  readonly stride: number;
}

interface RowsSize {
  readonly rows: number;
  readonly cols: number;
}

export interface DenseKernels {
  /** c −= a · bᵀ; c: rows × cols, a: rows × depth, b: cols × depth. c must not overlap a or b. */
  subtractProduct(
    c: DensePart,
    a: DensePart,
    b: DensePart,
    size: RowsSize & { readonly depth: number },
  ): void;
  /**
   * In every row x of `part`, column after column where `marks` (rows × cols; absent: everywhere) is
   * not 0: x_j becomes x_j / U_jj, and x_k −= x_j · U_jk for all k > j. U: `upper`, cols × cols.
   */
  eliminate(
    part: DensePart,
    upper: Float64Array,
    size: RowsSize,
    marks: Uint8Array | undefined,
  ): void;
  /**
   * The same where of each `m` neighbours in a row (the last may be fewer) all but `n` are eliminated:
   * those of least x² / scale as x is when their group is come to, lowest index first among equals.
   * `marks` holds 1 for what counts as infinite, and afterwards for what was eliminated.
   */
  eliminateGroups(
    part: DensePart,
    upper: Float64Array,
    size: RowsSize,
    groups: GroupChoice,
    marks: Uint8Array,
  ): void;
  /**
   * Marks the `drop` least scores of every row with 1, lowest index first among equals, and the
   * others with 0. `take` is called with the marks of each row, which are its own only meanwhile.
   */
  markLowest(
    size: RowsSize,
    drop: number,
    scoresOf: RowScores,
    take: (row: number, marks: Uint8Array) => void,
  ): void;
}

export interface GroupChoice {
  readonly n: number;
  readonly m: number;
  /** One a column. */
  readonly scales: Float64Array;
}

/** Depth that is summed before it is subtracted: rows of it stay in the cache. */
const DEPTH = 512;
/** Rows that are copied into WebAssembly memory together. */
const ROWS = 64;
/** Scores that are in WebAssembly memory together. */
const SCORES = 1 << 15;

export const plainDense: DenseKernels = {
  subtractProduct(c, a, b, { rows, cols, depth }) {
    for (let from = 0; from < depth; from += DEPTH) {
      const count = Math.min(DEPTH, depth - from);
      for (let i = 0; i < rows; i++) {
        const aAt = a.begin + i * a.stride + from;
        for (let j = 0; j < cols; j++) {
          const bAt = b.begin + j * b.stride + from;
          c.values[c.begin + i * c.stride + j]! -= dot(a.values, aAt, b.values, bAt, count);
        }
      }
    }
  },
  eliminate({ values, begin, stride }, upper, { rows, cols }, marks) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++) {
        if (marks === undefined || marks[i * cols + j] !== 0)
          eliminateOne(values, begin + i * stride, upper, cols, j);
      }
    }
  },
  eliminateGroups({ values, begin, stride }, upper, { rows, cols }, choice, marks) {
    for (let i = 0; i < rows; i++) {
      const at = begin + i * stride;
      for (let from = 0; from < cols; from += choice.m) {
        const count = Math.min(choice.m, cols - from);
        const group = marks.subarray(i * cols + from, i * cols + from + count);
        markGroup(values.subarray(at + from, at + from + count), group, choice, from);
        for (let j = 0; j < count; j++)
          if (group[j] === 1) eliminateOne(values, at, upper, cols, from + j);
      }
    }
  },
  markLowest({ rows, cols }, drop, scoresOf, take) {
    const [scores, marks] = [new Float64Array(cols), new Uint8Array(cols)];
    const marker = new LowestMarker(scores);
    for (let row = 0; row < rows; row++) {
      scoresOf(row, scores);
      marker.mark(drop, marks);
      take(row, marks);
    }
  },
};

/** Marks all but the best of a group, which begins at column `from`. */
function markGroup(
  group: Float64Array,
  marks: Uint8Array,
  { n, scales }: GroupChoice,
  from: number,
): void {
  const scores = group.map((value, j) =>
    marks[j] === 0 ? (value * value) / scales[from + j]! : Number.POSITIVE_INFINITY,
  );
  const drop = scores.length - n;
  for (let j = 0; j < scores.length; j++)
    marks[j] = rankOf(scores, 0, scores.length, j) < drop ? 1 : 0;
}

/** Even and odd places apart, then together, then a last odd one. */
function dot(a: Float64Array, aAt: number, b: Float64Array, bAt: number, count: number): number {
  let [even, odd] = [0, 0];
  for (let k = 0; k + 1 < count; k += 2) {
    even += a[aAt + k]! * b[bAt + k]!;
    odd += a[aAt + k + 1]! * b[bAt + k + 1]!;
  }
  const sum = even + odd;
  return count % 2 === 0 ? sum : sum + a[aAt + count - 1]! * b[bAt + count - 1]!;
}

/** One column of the row at `at`. */
function eliminateOne(
  values: Float64Array,
  at: number,
  upper: Float64Array,
  cols: number,
  j: number,
): void {
  const x = values[at + j]! / upper[j * cols + j]!;
  values[at + j] = x;
  for (let k = j + 1; k < cols; k++) values[at + k]! -= x * upper[j * cols + k]!;
}

/** The twins on wasm/dense.wasm. Memory: the larger of two operands, in pieces, or two rows of scores. */
export function createWasmDense(module: Uint8Array): DenseKernels {
  const arena = createArena(module);

  /** Calls `work` for ROWS rows at a time: their place in the memory, that of their marks. */
  function byRows(
    part: DensePart,
    upper: Float64Array,
    { rows, cols }: RowsSize,
    given: { readonly marks?: Uint8Array | undefined; readonly scales?: Float64Array },
    work: (at: { rows: number; upper: number; marks: number; scales: number }, n: number) => void,
  ): void {
    const { marks, scales } = given;
    const base = arena.reserve(8 * (cols * cols + cols + ROWS * cols) + ROWS * cols);
    const scalesAt = base + 8 * cols * cols;
    const rowsAt = scalesAt + 8 * cols;
    const marksAt = rowsAt + 8 * ROWS * cols;
    arena.doubles(base, cols * cols).set(upper);
    if (scales !== undefined) arena.doubles(scalesAt, cols).set(scales);
    for (let row = 0; row < rows; row += ROWS) {
      const height = Math.min(ROWS, rows - row);
      const [values, markBytes] = [arena.doubles(rowsAt, height * cols), height * cols];
      const someMarks = marks?.subarray(row * cols, row * cols + markBytes);
      copyIn(values, part, row, 0, height, cols);
      if (someMarks !== undefined) arena.bytes(marksAt, markBytes).set(someMarks);
      work(
        { rows: rowsAt, upper: base, marks: marks === undefined ? 0 : marksAt, scales: scalesAt },
        height,
      );
      copyOut(values, part, row, height, cols);
      someMarks?.set(arena.bytes(marksAt, markBytes));
    }
  }

  return {
    subtractProduct(c, a, b, { rows, cols, depth }) {
      for (let from = 0; from < depth; from += DEPTH) {
        const count = Math.min(DEPTH, depth - from);
        const base = arena.reserve(8 * (cols * count + ROWS * (count + cols)));
        const [bAt, aAt] = [base, base + 8 * cols * count];
        const cAt = aAt + 8 * ROWS * count;
        copyIn(arena.doubles(bAt, cols * count), b, 0, from, cols, count);
        for (let row = 0; row < rows; row += ROWS) {
          const height = Math.min(ROWS, rows - row);
          copyIn(arena.doubles(aAt, height * count), a, row, from, height, count);
          const part = arena.doubles(cAt, height * cols);
          copyIn(part, c, row, 0, height, cols);
          arena.call("subtract_product", cAt, aAt, bAt, height, cols, count);
          copyOut(part, c, row, height, cols);
        }
      }
    },
    eliminate(part, upper, size, marks) {
      byRows(part, upper, size, { marks }, (at, rows) =>
        arena.call("eliminate", at.rows, at.upper, at.marks, rows, size.cols),
      );
    },
    markLowest({ rows, cols }, drop, scoresOf, take) {
      const together = Math.max(1, Math.min(rows, Math.floor(SCORES / cols)));
      const scoresAt = arena.reserve(8 * (together + 1) * cols + together * cols);
      const scratchAt = scoresAt + 8 * together * cols;
      const marksAt = scratchAt + 8 * cols;
      for (let row = 0; row < rows; row += together) {
        const height = Math.min(together, rows - row);
        const scores = arena.doubles(scoresAt, height * cols);
        for (let i = 0; i < height; i++)
          scoresOf(row + i, scores.subarray(i * cols, (i + 1) * cols));
        arena.call("mark_lowest", marksAt, scoresAt, scratchAt, height, cols, drop);
        const marks = arena.bytes(marksAt, height * cols);
        for (let i = 0; i < height; i++) take(row + i, marks.subarray(i * cols, (i + 1) * cols));
      }
    },
    eliminateGroups(part, upper, size, { n, m, scales }, marks) {
      byRows(part, upper, size, { marks, scales }, (at, rows) =>
        arena.call(
          "eliminate_groups",
          ...[at.rows, at.upper, at.marks, at.scales, rows, size.cols, n, m],
        ),
      );
    },
  };
}

function copyIn(
  target: Float64Array,
  { values, begin, stride }: DensePart,
  row: number,
  col: number,
  rows: number,
  cols: number,
): void {
  for (let i = 0; i < rows; i++) {
    const at = begin + (row + i) * stride + col;
    target.set(values.subarray(at, at + cols), i * cols);
  }
}

function copyOut(
  source: Float64Array,
  { values, begin, stride }: DensePart,
  row: number,
  rows: number,
  cols: number,
): void {
  for (let i = 0; i < rows; i++)
    values.set(source.subarray(i * cols, (i + 1) * cols), begin + (row + i) * stride);
}
