/** Weights as float64, and back. */
import type { WeightDtype } from "../src/core/dtype.ts";
import {
  bf16ToFloat,
  floatBitsToBf16,
  floatBitsToFp16,
  fp16ToFloat,
  INFINITY_BITS,
} from "../src/core/half.ts";
import type { WeightMatrix } from "./definePruner.ts";
import { keyMask } from "./select.ts";

type Bits = Pick<WeightMatrix, "bits" | "dtype">;

const magnitudeTables = new Map<WeightDtype, Float64Array>();

/** |w| of every 15-bit key; infinity for what is not finite. */
function magnitudeTable(dtype: "F16" | "BF16"): Float64Array {
  const known = magnitudeTables.get(dtype);
  if (known !== undefined) return known;
  const [widen, infinity] = [dtype === "F16" ? fp16ToFloat : bf16ToFloat, INFINITY_BITS[dtype]];
  const table = Float64Array.from({ length: 32_768 }, (_, key) =>
    key < infinity ? widen(key) : Number.POSITIVE_INFINITY,
  );
  magnitudeTables.set(dtype, table);
  return table;
}

/** Reads |w| of neighbouring weights; what is not finite counts as infinity. */
export type MagnitudeReader = (begin: number, target: Float64Array, count: number) => void;

export function magnitudeReader({ bits, dtype }: Bits): MagnitudeReader {
  if (bits instanceof Uint16Array) {
    const table = magnitudeTable(dtype as "F16" | "BF16");
    return (begin, target, count) => {
      for (let i = 0; i < count; i++) target[i] = table[bits[begin + i]! & 0x7fff]!;
    };
  }
  const floats = new Float32Array(bits.buffer, bits.byteOffset, bits.length);
  return (begin, target, count) => {
    for (let i = 0; i < count; i++) {
      const size = Math.abs(floats[begin + i]!);
      target[i] = Number.isNaN(size) ? Number.POSITIVE_INFINITY : size;
    }
  };
}

/** The values with their signs; 0 for what is not finite. */
export function finiteValues({ bits, dtype }: Bits): Float64Array {
  const values = new Float64Array(bits.length);
  magnitudeReader({ bits, dtype })(0, values, bits.length);
  const sign = keyMask(bits) + 1;
  for (let i = 0; i < bits.length; i++) {
    const size = values[i]!;
    if (size === Number.POSITIVE_INFINITY) values[i] = 0;
    else if (bits[i]! >= sign) values[i] = -size;
  }
  return values;
}

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

const NARROW: Readonly<Record<WeightDtype, (bits: number) => number>> = {
  F16: floatBitsToFp16,
  BF16: floatBitsToBf16,
  F32: (bits) => bits,
};

/**
 * The bits of a weight that is kept, in its dtype: rounded to nearest, but never to zero, which
 * would drop it, nor to infinity.
 */
export function keptBits(value: number, dtype: WeightDtype): number {
  scratchFloat[0] = value;
  const bits = NARROW[dtype](scratchBits[0]!);
  const mask = dtype === "F32" ? 0x7fff_ffff : 0x7fff;
  const [size, infinity] = [bits & mask, INFINITY_BITS[dtype]];
  if (size === 0) return bits + 1;
  return size < infinity ? bits : bits - size + infinity - 1;
}
