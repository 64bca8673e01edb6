/**
 * The factor that optimal-brain-surgeon updates need: U, upper triangular, with H⁻¹ = Uᵀ · U for a
 * symmetric positive definite H. Frantar and Alistarh 2023, arXiv:2301.00774, section 3.
 *
 * With the order of rows and columns reversed, H = L · Lᵀ gives U = L⁻¹ (reversed back), so one
 * Cholesky factor and one triangular inverse do, without H⁻¹ itself. Both run in blocks on
 * `DenseKernels`. In float64; 2/3 n³ operations.
 */
import type { DenseKernels } from "./denseKernels.ts";

const BLOCK = 64;

/**
 * Uᵀ (lower triangular, row-major) of a symmetric n × n matrix, which is overwritten; undefined
 * where it is not positive definite. Memory: one more n × n matrix.
 */
export function inverseFactor(
  matrix: Float64Array,
  n: number,
  kernels: DenseKernels,
): Float64Array | undefined {
  matrix.reverse(); // both axes at once
  if (!cholesky(matrix, n, kernels)) return undefined;
  return invertTransposed(matrix, n, kernels).reverse();
}

/** L of matrix = L · Lᵀ in the lower triangle, block column by block column. */
function cholesky(matrix: Float64Array, n: number, kernels: DenseKernels): boolean {
  const part = (row: number, col: number) => ({
    values: matrix,
    begin: row * n + col,
    stride: n,
  });
  // a block's own factored rows, apart: c of the product must not overlap its a and b
  const rows = new Float64Array(BLOCK * n);
  for (let at = 0; at < n; at += BLOCK) {
    const size = Math.min(BLOCK, n - at);
    for (let i = 0; i < size; i++)
      rows.set(matrix.subarray((at + i) * n, (at + i) * n + at), i * at);
    const b = { values: rows, begin: 0, stride: at };
    kernels.subtractProduct(part(at, at), part(at, 0), b, { rows: n - at, cols: size, depth: at });
    if (!factorBlock(matrix, n, at, size, kernels)) return false;
  }
  return true;
}

/** The diagonal block at `at`, and what is below it divided by its factor. */
function factorBlock(
  matrix: Float64Array,
  n: number,
  at: number,
  size: number,
  { eliminate }: DenseKernels,
): boolean {
  for (let row = at; row < at + size; row++) {
    for (let col = at; col <= row; col++) {
      let value = matrix[row * n + col]!;
      for (let k = at; k < col; k++) value -= matrix[row * n + k]! * matrix[col * n + k]!;
      if (row !== col) matrix[row * n + col] = value / matrix[col * n + col]!;
      else if (!(value > 0) || value === Number.POSITIVE_INFINITY) return false;
      else matrix[row * n + col] = Math.sqrt(value);
    }
  }
  const below = { values: matrix, begin: (at + size) * n + at, stride: n };
  const upper = transposedBlock(matrix, n, at, size);
  eliminate(below, upper, { rows: n - at - size, cols: size }, undefined);
  return true;
}

/** The transposed block on the diagonal of a lower triangular matrix, without gaps. */
export function transposedBlock(
  lower: Float64Array,
  n: number,
  at: number,
  size: number,
): Float64Array {
  const upper = new Float64Array(size * size);
  for (let j = 0; j < size; j++) {
    for (let k = j; k < size; k++) upper[j * size + k] = lower[(at + k) * n + at + j]!;
  }
  return upper;
}

/** (L⁻¹)ᵀ, upper triangular: its row j is column j of L⁻¹, found by forward substitution. */
function invertTransposed(
  factor: Float64Array,
  n: number,
  { subtractProduct, eliminate }: DenseKernels,
): Float64Array {
  const inverse = new Float64Array(n * n);
  const solved = new Float64Array(BLOCK * n);
  for (let at = 0; at < n; at += BLOCK) {
    const size = Math.min(BLOCK, n - at);
    // rows of columns before this block: −Σ over what is known of them, then the block itself
    for (let from = 0; from < at; from += BLOCK) {
      const depth = at - from;
      for (let i = 0; i < BLOCK; i++) {
        const begin = (from + i) * n + from;
        solved.set(inverse.subarray(begin, begin + depth), i * depth);
      }
      subtractProduct(
        { values: inverse, begin: from * n + at, stride: n },
        { values: solved, begin: 0, stride: depth },
        { values: factor, begin: at * n + from, stride: n },
        { rows: BLOCK, cols: size, depth },
      );
    }
    for (let row = at; row < at + size; row++) inverse[row * n + row] = 1;
    const part = { values: inverse, begin: at, stride: n };
    eliminate(
      part,
      transposedBlock(factor, n, at, size),
      { rows: at + size, cols: size },
      undefined,
    );
  }
  return inverse;
}
