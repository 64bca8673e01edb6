/** Random blocks of a tensor type, with the fp16 scales that are hard to get right. */
import { TENSOR_TYPES, type TensorType } from "../../../formats/gguf/types.ts";
import type { Random } from "../../helpers/random.ts";

/** fp16: zeros, subnormals, ends of ranges, infinities, NaNs. */
const SPECIAL_HALVES = [
  0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x3c00, 0xbc00, 0x7bff, 0xfbff,
  0x7c00, 0xfc00, 0x7e00, 0xfe01,
];

/** Where the fp16 scales of a block stand. */
const SCALES: { readonly [Type in TensorType]: readonly number[] } = {
  F32: [],
  F16: [0],
  BF16: [],
  Q8_0: [0],
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

/** One in four scales is special; the others are any fp16 pattern, finite or not. */
export function randomBlocks(type: TensorType, count: number, random: Random): Uint8Array {
  const { blockBytes } = TENSOR_TYPES[type];
  const bytes = random.bytes(count * blockBytes);
  for (let block = 0; block < count; block++) {
    for (const scale of SCALES[type]) {
      if (!random.chance(0.25)) continue;
      const half = random.pick(SPECIAL_HALVES);
      bytes[block * blockBytes + scale] = half & 0xff;
      bytes[block * blockBytes + scale + 1] = half >>> 8;
    }
  }
  return bytes;
}

/** Where two runs of binary32 values differ; NaNs are equal to each other. */
export function firstDifference(found: Uint8Array, expected: Uint8Array): string | undefined {
  if (found.length !== expected.length) return `${found.length} bytes, not ${expected.length}`;
  const bitsOf = (bytes: Uint8Array) => new Uint32Array(new Uint8Array(bytes).buffer);
  const a = bitsOf(found);
  const b = bitsOf(expected);
  for (let i = 0; i < a.length; i++) {
    const bothNan = (a[i]! & 0x7fff_ffff) > 0x7f80_0000 && (b[i]! & 0x7fff_ffff) > 0x7f80_0000;
    if (a[i] !== b[i] && !bothNan) {
      return `value ${i} is 0x${a[i]!.toString(16)}, not 0x${b[i]!.toString(16)}`;
    }
  }
  return undefined;
}
