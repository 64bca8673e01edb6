/**
 * Types with blocks of 32 weights (ggml-quants.c): a scale d, for the _1 types a minimum m, for
 * Q5 the fifth bits as one u32, then the low bits: 16 bytes with weight i in the low half of
 * byte i and weight 16 + i in the high half, or for Q8_0 a signed byte a weight.
 */
import { type Dequantize, scaleAt, unifyNans } from "./blocks.ts";

/** 34 bytes: d, 32 × i8. Value d·q. */
export const dequantizeQ8_0: Dequantize = (source, begin, target, count) => {
  const signed = new Int8Array(source.buffer, source.byteOffset, source.length);
  for (let i = 0, at = begin; i < count; i += 32, at += 34) {
    const d = scaleAt(source, at);
    const q = at + 2;
    for (let j = 0; j < 32; j++) target[i + j] = d * signed[q + j]!;
    if (!Number.isFinite(d)) unifyNans(target, i, 32);
  }
};

/** 18 bytes: d, 32 × u4. Value d·(q − 8). */
export const dequantizeQ4_0: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i += 32, at += 18) {
    const d = scaleAt(source, at);
    for (let j = 0; j < 16; j++) {
      const pair = source[at + 2 + j]!;
      target[i + j] = d * ((pair & 15) - 8);
      target[i + 16 + j] = d * ((pair >>> 4) - 8);
    }
    if (!Number.isFinite(d)) unifyNans(target, i, 32);
  }
};

/** 20 bytes: d, m, 32 × u4. Value d·q + m. */
export const dequantizeQ4_1: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i += 32, at += 20) {
    const d = scaleAt(source, at);
    const m = scaleAt(source, at + 2);
    for (let j = 0; j < 16; j++) {
      const pair = source[at + 4 + j]!;
      target[i + j] = d * (pair & 15) + m;
      target[i + 16 + j] = d * (pair >>> 4) + m;
    }
    if (!Number.isFinite(d + m)) unifyNans(target, i, 32);
  }
};

/** The fifth bits of a block's weights, weight i in bit i. */
function fifthBits(source: Uint8Array, at: number): number {
  return source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16) | (source[at + 3]! << 24);
}

/** 22 bytes: d, 32 fifth bits, 32 × u4. Value d·(q − 16). */
export const dequantizeQ5_0: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i += 32, at += 22) {
    const d = scaleAt(source, at);
    const high = fifthBits(source, at + 2);
    for (let j = 0; j < 16; j++) {
      const pair = source[at + 6 + j]!;
      target[i + j] = d * (((pair & 15) | (((high >>> j) & 1) << 4)) - 16);
      target[i + 16 + j] = d * (((pair >>> 4) | (((high >>> (j + 16)) & 1) << 4)) - 16);
    }
    if (!Number.isFinite(d)) unifyNans(target, i, 32);
  }
};

/** 24 bytes: d, m, 32 fifth bits, 32 × u4. Value d·q + m. */
export const dequantizeQ5_1: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i += 32, at += 24) {
    const d = scaleAt(source, at);
    const m = scaleAt(source, at + 2);
    const high = fifthBits(source, at + 4);
    for (let j = 0; j < 16; j++) {
      const pair = source[at + 8 + j]!;
      target[i + j] = d * ((pair & 15) | (((high >>> j) & 1) << 4)) + m;
      target[i + 16 + j] = d * ((pair >>> 4) | (((high >>> (j + 16)) & 1) << 4)) + m;
    }
    if (!Number.isFinite(d + m)) unifyNans(target, i, 32);
  }
};
