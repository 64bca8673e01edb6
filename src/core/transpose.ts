/** Transposition of 16- and 32-bit matrices, in blocks that stay in the cache. */

const SIDE = 32;

/** rows × cols → cols × rows, into fresh memory. */
export function transposeHalves(
  values: Uint16Array,
  rows: number,
  cols: number,
): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  transposeInto(values, out, rows, cols);
  return out;
}

/** The same into `out`. */
export function transposeInto<Values extends Uint16Array | Uint32Array>(
  values: Values,
  out: Values,
  rows: number,
  cols: number,
): void {
  for (let top = 0; top < rows; top += SIDE) {
    const bottom = Math.min(top + SIDE, rows);
    for (let left = 0; left < cols; left += SIDE) {
      const right = Math.min(left + SIDE, cols);
      for (let row = top; row < bottom; row++) {
        for (let col = left; col < right; col++) out[col * rows + row] = values[row * cols + col]!;
      }
    }
  }
}
