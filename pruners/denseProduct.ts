/**
 * c −= a · bᵀ in float64: what Cholesky factors and weight updates are made of. Every sum is taken
 * in the same order by the plain twin here and by wasm/dense.wasm, so that both give the same bits.
 */
import { createArena } from "../src/core/wasmMemory.ts";

/** A part of a row-major matrix: where it begins, and how far one row is from the next. */
export interface DensePart {
  readonly values: Float64Array;
  readonly begin: number;
  readonly stride: number;
}

/** c: rows × cols, a: rows × depth, b: cols × depth. c must not overlap a or b. */
export type SubtractProduct = (
  c: DensePart,
  a: DensePart,
  b: DensePart,
  size: { readonly rows: number; readonly cols: number; readonly depth: number },
) => void;

/** Depth that is summed before it is subtracted: rows of it stay in the cache. */
const DEPTH = 512;
/** Rows of a that are copied into WebAssembly memory together. */
const ROWS = 64;

export const plainProduct: SubtractProduct = (c, a, b, { rows, cols, depth }) => {
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
};

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

/** The twin on wasm/dense.wasm. Memory: DEPTH × (cols + ROWS) values. */
export function createWasmProduct(module: Uint8Array): SubtractProduct {
  const arena = createArena(module);
  return (c, a, b, { rows, cols, depth }) => {
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
        for (let i = 0; i < height; i++) {
          const at = c.begin + (row + i) * c.stride;
          c.values.set(part.subarray(i * cols, (i + 1) * cols), at);
        }
      }
    }
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
