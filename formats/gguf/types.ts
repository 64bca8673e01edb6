/**
 * The numbers of the GGUF format: kinds of metadata values, kinds of tensors and their blocks.
 * Source: the GGUF specification (ggml, docs/gguf.md) and the block sizes of ggml-common.h.
 */

export const MAGIC = "GGUF";
export const VERSIONS: readonly number[] = [2, 3];
export const DEFAULT_ALIGNMENT = 32;
export const MAX_DIMS = 4;

/** Kinds of metadata values; the position is the number in the file. */
export const VALUE_TYPES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type ValueType = (typeof VALUE_TYPES)[number];

/** The fewest bytes that a value of this kind takes in the file. */
export const VALUE_BYTES: { readonly [Type in ValueType]: number } = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  array: 12,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** The kinds of tensors that can be read: number in the file, weights a block, bytes a block. */
export const TENSOR_TYPES = {
  F32: { id: 0, blockWeights: 1, blockBytes: 4 },
  F16: { id: 1, blockWeights: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockWeights: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockWeights: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockWeights: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockWeights: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockWeights: 32, blockBytes: 34 },
  Q4_K: { id: 12, blockWeights: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockWeights: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockWeights: 256, blockBytes: 210 },
  BF16: { id: 30, blockWeights: 1, blockBytes: 2 },
} as const;

export type TensorType = keyof typeof TENSOR_TYPES;

export function isTensorType(name: unknown): name is TensorType {
  return typeof name === "string" && Object.hasOwn(TENSOR_TYPES, name);
}

const BY_ID = new Map<number, TensorType>(
  (Object.keys(TENSOR_TYPES) as TensorType[]).map((name) => [TENSOR_TYPES[name].id, name]),
);

export function tensorTypeOf(id: number): TensorType | undefined {
  return BY_ID.get(id);
}

/** Names of kinds that exist but are not read here, so that the error can say what the file has. */
const OTHER_TYPES: { readonly [id: number]: string } = {
  4: "Q4_2, removed from GGUF",
  5: "Q4_3, removed from GGUF",
  9: "Q8_1",
  10: "Q2_K",
  11: "Q3_K",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  20: "IQ4_NL",
  21: "IQ3_S",
  22: "IQ2_S",
  23: "IQ4_XS",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
  40: "NVFP4",
};

export function describeTensorType(id: number): string {
  const name = OTHER_TYPES[id];
  return name === undefined ? `type ${id}` : `type ${id} (${name})`;
}
