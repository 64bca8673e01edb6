/** F32, F16 and BF16: values as they are. */
import { fp16ToFloat } from "../../../src/core/half.ts";
import type { Dequantize } from "./blocks.ts";

export const dequantizeF32: Dequantize = (source, begin, target, count) => {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, count * 4);
  bytes.set(source.subarray(begin, begin + count * 4));
};

let fp16Bits: Uint32Array | undefined;

/** The binary32 bits of every fp16 value. NaNs keep sign and payload. */
function fp16Table(): Uint32Array {
  if (fp16Bits !== undefined) return fp16Bits;
  const bits = new Uint32Array(65_536);
  const values = new Float32Array(bits.buffer);
  for (let half = 0; half < bits.length; half++) {
    values[half] = fp16ToFloat(half);
    if ((half & 0x7fff) > 0x7c00) {
      bits[half] = ((half & 0x8000) << 16) | 0x7f80_0000 | ((half & 0x3ff) << 13);
    }
  }
  fp16Bits = bits;
  return bits;
}

/** By bits: a NaN that passes through a number may come out as another, or not. */
export const dequantizeF16: Dequantize = (source, begin, target, count) => {
  const table = fp16Table();
  const bits = new Uint32Array(target.buffer, target.byteOffset, count);
  for (let i = 0, at = begin; i < count; i++, at += 2) {
    bits[i] = table[source[at]! | (source[at + 1]! << 8)]!;
  }
};

/** The upper half of a binary32, so this one is exact for every NaN too. */
export const dequantizeBf16: Dequantize = (source, begin, target, count) => {
  const bits = new Uint32Array(target.buffer, target.byteOffset, count);
  for (let i = 0, at = begin; i < count; i++, at += 2) {
    bits[i] = (source[at]! << 16) | (source[at + 1]! << 24);
  }
};
