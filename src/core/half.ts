/**
 * 16-bit floats: fp16 (IEEE 754 binary16) and bf16 (the upper half of binary32).
 * Casts round to nearest, ties to even, keep infinities, and keep NaNs NaN.
 */
import type { WeightDtype } from "./dtype.ts";

/** Infinity without its sign; above it are the NaNs. */
export const INFINITY_BITS: Readonly<Record<WeightDtype, number>> = {
  F16: 0x7c00,
  BF16: 0x7f80,
  F32: 0x7f80_0000,
};

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

let halfTable: Uint32Array | undefined;

/** The binary32 bits of all 65,536 fp16 values. */
function halfBits(): Uint32Array {
  if (halfTable !== undefined) return halfTable;
  halfTable = new Uint32Array(65_536);
  for (let half = 0; half < 65_536; half++) halfTable[half] = halfBitsToFloatBits(half);
  return halfTable;
}

function halfBitsToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f80_0000 | (fraction << 13)) >>> 0;
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | ((fraction << (13 + shift)) & 0x7f_ffff)) >>> 0;
}

export function fp16ToFloat(half: number): number {
  scratchBits[0] = halfBits()[half]!;
  return scratchFloat[0]!;
}

export function bf16ToFloat(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratchFloat[0]!;
}

/** binary32 bits → fp16 bits. */
export function floatBitsToFp16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) {
    // NaN: keep the upper payload, never let it become infinity
    return sign | 0x7c00 | ((magnitude >>> 13) & 0x3ff) | 0x200;
  }
  if (magnitude >= 0x4780_0000) return sign | 0x7c00; // ≥ 65536, infinity too
  if (magnitude >= 0x3880_0000) {
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x3800_0000) >>> 13); // may carry into infinity, as it should
  }
  if (magnitude < 0x3300_0000) return sign; // < 2^-25
  const exponent = magnitude >>> 23;
  const fraction = (magnitude & 0x7f_ffff) | 0x80_0000;
  const shift = 126 - exponent; // 14..24
  const kept = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const halfway = 1 << (shift - 1);
  return sign | (kept + (rest > halfway || (rest === halfway && (kept & 1) === 1) ? 1 : 0));
}

/** binary32 bits → bf16 bits. */
export function floatBitsToBf16(bits: number): number {
  if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export interface CastCounts {
  /** Finite values that became infinite. */
  overflowed: number;
  /** Nonzero values that became zero. */
  underflowed: number;
}

/** Casts binary32 values to 16-bit ones. `target` has the length of `source`. */
export function castFloats(
  source: Float32Array,
  dtype: "F16" | "BF16",
  target: Uint16Array,
): CastCounts {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const cast = dtype === "F16" ? floatBitsToFp16 : floatBitsToBf16;
  const infinity = dtype === "F16" ? 0x7c00 : 0x7f80;
  let overflowed = 0;
  let underflowed = 0;
  for (let i = 0; i < bits.length; i++) {
    const from = bits[i]!;
    const to = cast(from);
    target[i] = to;
    const size = to & 0x7fff;
    if (size === 0) {
      if ((from & 0x7fff_ffff) !== 0) underflowed++;
    } else if (size === infinity && (from & 0x7fff_ffff) !== 0x7f80_0000) {
      overflowed++;
    }
  }
  return { overflowed, underflowed };
}

/** Widens 16-bit values to binary32; exact, NaNs with their payload. */
export function widenHalves(
  source: Uint16Array,
  dtype: "F16" | "BF16",
  target: Float32Array,
): void {
  // as floats, signalling NaNs would become quiet ones or not as the code is compiled
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  if (dtype === "F16") {
    const table = halfBits();
    for (let i = 0; i < source.length; i++) bits[i] = table[source[i]!]!;
    return;
  }
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
}
