/**
 * The K types (ggml-quants.c): super-blocks of 256 weights, split into 8 groups of 32 (Q4_K, Q5_K)
 * or 16 of 16 (Q6_K), each with its own small integer scale under a common fp16 one.
 */
import { type Dequantize, scaleAt, unifyNans } from "./blocks.ts";

/** 6-bit scale of group g: bytes 0…3 and 4…7 of `scales`, groups 4…7 in pieces. */
function groupScale(source: Uint8Array, scales: number, g: number): number {
  if (g < 4) return source[scales + g]! & 63;
  return (source[scales + 4 + g]! & 15) | ((source[scales + g - 4]! >>> 6) << 4);
}

function groupMin(source: Uint8Array, scales: number, g: number): number {
  if (g < 4) return source[scales + 4 + g]! & 63;
  return (source[scales + 4 + g]! >>> 4) | ((source[scales + g]! >>> 6) << 4);
}

/** 144 bytes: d, dmin, 12 bytes of scales and minima, 128 × 2 u4. Value d·sc·q − dmin·m. */
export const dequantizeQ4_K: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i += 256, at += 144) {
    const d = scaleAt(source, at);
    const dmin = scaleAt(source, at + 2);
    for (let g = 0; g < 8; g++) {
      const scale = d * groupScale(source, at + 4, g);
      const min = dmin * groupMin(source, at + 4, g);
      // groups 2k and 2k + 1 share 32 bytes: low and high halves
      const q = at + 16 + (g >>> 1) * 32;
      const shift = (g & 1) * 4;
      const to = i + g * 32;
      for (let j = 0; j < 32; j++) {
        target[to + j] = scale * ((source[q + j]! >>> shift) & 15) - min;
      }
    }
    if (!Number.isFinite(d + dmin)) unifyNans(target, i, 256);
  }
};

/** 176 bytes: as Q4_K, with 32 bytes of fifth bits (bit g of byte j) before the u4. */
export const dequantizeQ5_K: Dequantize = (source, begin, target, count) => {
  for (let i = 0, at = begin; i < count; i += 256, at += 176) {
    const d = scaleAt(source, at);
    const dmin = scaleAt(source, at + 2);
    for (let g = 0; g < 8; g++) {
      const scale = d * groupScale(source, at + 4, g);
      const min = dmin * groupMin(source, at + 4, g);
      const high = at + 16;
      const q = at + 48 + (g >>> 1) * 32;
      const shift = (g & 1) * 4;
      const to = i + g * 32;
      for (let j = 0; j < 32; j++) {
        const low = (source[q + j]! >>> shift) & 15;
        target[to + j] = scale * (low | (((source[high + j]! >>> g) & 1) << 4)) - min;
      }
    }
    if (!Number.isFinite(d + dmin)) unifyNans(target, i, 256);
  }
};

/**
 * 210 bytes: 128 × 2 u4 low bits, 64 × 4 u2 high bits, 16 × i8 scales, d. Value d·sc·(q − 32).
 * Each half of 128 weights has four runs of 32: low bits in low then high halves of 64 bytes.
 */
export const dequantizeQ6_K: Dequantize = (source, begin, target, count) => {
  const signed = new Int8Array(source.buffer, source.byteOffset, source.length);
  for (let i = 0, at = begin; i < count; i += 256, at += 210) {
    const d = scaleAt(source, at + 208);
    for (let run = 0; run < 8; run++) {
      const half = run >>> 2;
      const low = at + half * 64 + (run & 1) * 32;
      const lowShift = (run & 2) * 2;
      const high = at + 128 + half * 32;
      const highShift = (run & 3) * 2;
      const scales = at + 192 + run * 2;
      const to = i + run * 32;
      for (let j = 0; j < 32; j++) {
        const q =
          ((source[low + j]! >>> lowShift) & 15) | (((source[high + j]! >>> highShift) & 3) << 4);
        // a scale of zero times a negative q is −0 in the reference: keep the order (d·sc)·q
        target[to + j] = d * signed[scales + (j >>> 4)]! * (q - 32);
      }
    }
    if (!Number.isFinite(d)) unifyNans(target, i, 256);
  }
};
