/** What the dequantisers of this folder have in common. */
import { fp16ToFloat } from "../../../src/core/half.ts";

/**
 * Turns the blocks at `source[begin…]` into `count` values at the beginning of `target`; `count`
 * is a multiple of the block. The caller has checked that the bytes and the room are there.
 *
 * Results equal those of the `gguf` Python package bit for bit (there, which NaN a NaN is depends
 * on the processor; here it is always the same). The products below are computed in double precision, where they and
 * their sums are exact: an fp16 scale has 11 significant bits, the factors at most 6 + 6 more.
 * So each value is rounded once, on its way into the Float32Array, as it is there.
 */
export type Dequantize = (
  source: Uint8Array,
  begin: number,
  target: Float32Array,
  count: number,
) => void;

/** The fp16 value at `source[at]`, as a number. */
export function scaleAt(source: Uint8Array, at: number): number {
  return fp16ToFloat(source[at]! | (source[at + 1]! << 8));
}

/**
 * Makes all NaNs of a block the same one. Only a scale that is not finite makes any; how the sum
 * and the product of NaNs and infinities come out differs between processors.
 */
export function unifyNans(target: Float32Array, begin: number, count: number): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = begin; i < begin + count; i++) {
    if ((bits[i]! & 0x7fff_ffff) > 0x7f80_0000) bits[i] = 0x7fc0_0000;
  }
}
