/** Element types, by their safetensors names. */

/** Bits of one element. The list is that of the safetensors specification. */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type Dtype = keyof typeof DTYPE_BITS;

/** The types that can be pruned. */
export const WEIGHT_DTYPES = ["F16", "BF16", "F32"] as const;
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

/** The types that the tile-bitmap container can hold. */
export const HALF_DTYPES = ["F16", "BF16"] as const;
export type HalfDtype = (typeof HALF_DTYPES)[number];

export function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(DTYPE_BITS, value);
}

export function isWeightDtype(dtype: string): dtype is WeightDtype {
  return (WEIGHT_DTYPES as readonly string[]).includes(dtype);
}

export function isHalfDtype(dtype: string): dtype is HalfDtype {
  return (HALF_DTYPES as readonly string[]).includes(dtype);
}

/** The number of elements of `shape`, or undefined when it is no safe integer. `[]` has one. */
export function elementCount(shape: readonly number[]): number | undefined {
  let count = 1;
  let empty = false;
  for (const size of shape) {
    if (size === 0) empty = true;
    else count *= size;
    if (count > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return empty ? 0 : count;
}

/** The bytes of a dense tensor, or undefined when they are no safe integer or end inside a byte. */
export function denseBytes(dtype: Dtype, shape: readonly number[]): number | undefined {
  const count = elementCount(shape);
  if (count === undefined) return undefined;
  const bits = count * DTYPE_BITS[dtype];
  if (bits > Number.MAX_SAFE_INTEGER || bits % 8 !== 0) return undefined;
  return bits / 8;
}
