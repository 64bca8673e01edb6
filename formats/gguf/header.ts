/** What a GGUF header says, after all of it has been checked. */
import type { TensorType, ValueType } from "./types.ts";

/** Elements of a metadata array. Numbers of up to 32 bits stay packed. */
export type ArrayItems =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | readonly (number | bigint)[]
  | readonly boolean[]
  | readonly string[]
  | readonly GgufArray[];

export interface GgufArray {
  readonly type: "array";
  readonly of: ValueType;
  readonly items: ArrayItems;
}

/** One metadata value. 64-bit integers that a number cannot hold exactly are bigints. */
export type GgufValue =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "u64" | "i64"; readonly value: number | bigint }
  | {
      readonly type: Exclude<ValueType, "string" | "bool" | "u64" | "i64" | "array">;
      readonly value: number;
    }
  | GgufArray;

export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  /** As in the file: the first dimension runs fastest. */
  readonly dims: readonly number[];
  /** Bytes in the file, half-open, from its start. */
  readonly begin: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file, which is that of the offsets. */
  readonly tensors: readonly GgufTensor[];
  /** Where the tensor data begins. */
  readonly dataBegin: number;
}
