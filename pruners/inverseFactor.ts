/**
 * The factor that optimal-brain-surgeon updates need: U, upper triangular, with H⁻¹ = Uᵀ · U for a
 * symmetric positive definite H. Frantar and Alistarh 2023, arXiv:2301.00774, section 3.
 *
 * With the order of rows and columns reversed, H = L · Lᵀ gives U = L⁻¹ (reversed back), so one
 * Cholesky factor and one triangular inverse do, without H⁻¹ itself. Both run in blocks on
 * `SubtractProduct`. In float64; 2/3 n³ operations.
 */
import type { SubtractProduct } from "./denseProduct.ts";

const BLOCK = 64;

/**
 * Uᵀ (lower triangular, row-major) of a symmetric n × n matrix, which is overwritten; undefined
 * where it is not positive definite. Memory: one more n × n matrix.
 */
export function inverseFactor(
  matrix: Float64Array,
  n: number,
  product: SubtractProduct,
): Float64Array | undefined {
  matrix.reverse(); // both axes at once
  if (!cholesky(matrix, n, product)) return undefined;
  return invertTransposed(matrix, n, product).reverse();
}

/** L of matrix = L · Lᵀ in the lower triangle, block column by block column. */
function cholesky(matrix: Float64Array, n: number, product: SubtractProduct): boolean {
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
    product(part(at, at), part(at, 0), b, { rows: n - at, cols: size, depth: at });
    if (!factorBlock(matrix, n, at, size)) return false;
  }
  return true;
}

/** The diagonal block at `at`, and what is below it divided by its factor. */
function factorBlock(matrix: Float64Array, n: number, at: number, size: number): boolean {
  for (let row = at; row < n; row++) {
    const last = Math.min(row, at + size - 1);
    for (let col = at; col <= last; col++) {
      let value = matrix[row * n + col]!;
      for (let k = at; k < col; k++) value -= matrix[row * n + k]! * matrix[col * n + k]!;
      if (row !== col) matrix[row * n + col] = value / matrix[col * n + col]!;
      else if (!(value > 0) || value === Number.POSITIVE_INFINITY) return false;
      else matrix[row * n + col] = Math.sqrt(value);
    }
  }
  return true;
}

/** (L⁻¹)ᵀ, upper triangular: its row j is column j of L⁻¹, found by forward substitution. */
function invertTransposed(factor: Float64Array, n: number, product: SubtractProduct): Float64Array {
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
      product(
        { values: inverse, begin: from * n + at, stride: n },
        { values: solved, begin: 0, stride: depth },
        { values: factor, begin: at * n + from, stride: n },
        { rows: BLOCK, cols: size, depth },
      );
    }
    for (let row = at; row < at + size; row++) inverse[row * n + row] = 1;
    for (let row = 0; row < at + size; row++) substitute(factor, inverse, n, row, at, size);
  }
  return inverse;
}

/** Finishes the columns at .. at + size of one row of the inverse. */
function substitute(
  factor: Float64Array,
  inverse: Float64Array,
  n: number,
  row: number,
  at: number,
  size: number,
): void {
  for (let col = Math.max(at, row); col < at + size; col++) {
    let value = inverse[row * n + col]!;
    for (let k = Math.max(at, row); k < col; k++)
      value -= inverse[row * n + k]! * factor[col * n + k]!;
    inverse[row * n + col] = value / factor[col * n + col]!;
  }
}
