/** Matrices for tests of the container. */
import type { HalfMatrix } from "../../../formats/tile-bitmap/matrix.ts";
import type { HalfDtype } from "../../../src/core/dtype.ts";
import type { Random } from "../../helpers/random.ts";

/** Patterns that a codec could mistake for nothing, or lose: −0.0, subnormals, infinities, NaNs. */
const SPECIAL = [0x8000, 0x0001, 0x8001, 0x03ff, 0x7c00, 0xfc00, 0x7c01, 0x7e01, 0xffff, 0x7f80];

/** Random bits; about `sparsity` of the values are zero. */
export function randomMatrix(
  random: Random,
  rows: number,
  cols: number,
  sparsity: number,
  dtype: HalfDtype = "F16",
): HalfMatrix {
  const bits = new Uint16Array(rows * cols);
  for (let i = 0; i < bits.length; i++) {
    if (random.next() < sparsity) continue;
    const pattern = random.bits();
    bits[i] = pattern % 16 === 0 ? SPECIAL[(pattern >>> 4) % SPECIAL.length]! : pattern >>> 16;
  }
  return { rows, cols, dtype, bits };
}
