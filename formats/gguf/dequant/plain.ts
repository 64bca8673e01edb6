/** F32, F16 and BF16: values as they are. */
import { fp16ToFloat } from "../../../src/core/half.ts";
import type { Dequantize } from "./blocks.ts";

export const dequantizeF32: Dequantize = (source, begin, target, count) => {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, count * 4);
  bytes.set(source.subarray(begin, begin + count * 4));
};

export const dequantizeF16: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i++, at += 2) {
    target[i] = fp16ToFloat(source[at]! | (source[at + 1]! << 8));
  }
};

/** The upper half of a binary32, so this one is exact for every NaN too. */
export const dequantizeBf16: Dequantize = (source, begin, target, count) => {
  const bits = new Uint32Array(target.buffer, target.byteOffset, count);
  for (let i = 0, at = begin; i < count; i++, at += 2) {
    bits[i] = (source[at]! << 16) | (source[at + 1]! << 24);
  }
};
