/** The product on the packed bytes, on the CPU: the slow twin of kernels/src/spmm_kernel.cuh. */
import { bf16ToFloat, fp16ToFloat } from "../../src/core/half.ts";
import { plainKernels } from "./chunks.ts";
import { ALIGN, CHUNK_COLS, CHUNK_ROWS } from "./layout.ts";
import type { Meta } from "./meta.ts";

export interface Product {
  /** y[tokens, rows] in float64. */
  readonly sums: Float64Array;
  /** Sums of the absolute products: what an error bound is made of. */
  readonly magnitudes: Float64Array;
}

/**
 * Y = X Wᵀ with float64 sums; x: [tokens, cols], 16-bit values of the matrix's dtype. A weight that
 * is not stored counts as +0: times an infinite or NaN input it gives NaN, as in the dense product.
 * The matrix must have passed `checkPacked`. Memory: one strip of 32 rows.
 */
export function multiplyPacked(
  meta: Meta,
  payload: Uint8Array,
  x: Uint16Array,
  tokens: number,
): Product {
  const { grid, offsets, dtype } = meta;
  const { rows, cols, chunksPerStrip } = grid;
  const toFloat = dtype === "BF16" ? bf16ToFloat : fp16ToFloat;
  const inputs = Float64Array.from(x, toFloat);
  const sums = new Float64Array(tokens * rows);
  const magnitudes = new Float64Array(tokens * rows);
  const stride = chunksPerStrip * CHUNK_COLS;
  const strip = new Uint16Array(CHUNK_ROWS * stride);
  for (let s = 0; s < grid.strips; s++) {
    const [begin, end] = [offsets[s * chunksPerStrip]!, offsets[(s + 1) * chunksPerStrip]!];
    plainKernels.decodeStrip(payload.subarray(begin * ALIGN, end * ALIGN), chunksPerStrip, strip);
    const weights = Float64Array.from(strip, toFloat);
    for (let row = s * CHUNK_ROWS; row < Math.min((s + 1) * CHUNK_ROWS, rows); row++) {
      const first = (row % CHUNK_ROWS) * stride;
      for (let token = 0; token < tokens; token++) {
        let [sum, magnitude] = [0, 0];
        for (let col = 0; col < cols; col++) {
          const product = weights[first + col]! * inputs[token * cols + col]!;
          sum += product;
          magnitude += Math.abs(product);
        }
        sums[token * rows + row] = sum;
        magnitudes[token * rows + row] = magnitude;
      }
    }
  }
  return { sums, magnitudes };
}
