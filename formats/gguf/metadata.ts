/**
 * Typed access to GGUF metadata. A value of another kind than asked for is an error, never a
 * cast: reading an array of one type as another is how other readers came to read out of bounds.
 */
import { SpInferError } from "../../src/core/errors.ts";
import { printable } from "../../src/core/text.ts";
import type { GgufArray, GgufValue } from "./header.ts";

const INTEGERS: ReadonlySet<string> = new Set([
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "u64",
  "i64",
]);

export interface Metadata {
  readonly label: string;
  has(key: string): boolean;
  /** Each getter: undefined when the key is absent, E_GGUF_TYPE when it is of another type. */
  string(key: string): string | undefined;
  bool(key: string): boolean | undefined;
  /** A whole number from 0 to 2^53 - 1, of any integer type; E_GGUF_METADATA when it is not. */
  count(key: string): number | undefined;
  /** f32 or f64; finite, or E_GGUF_METADATA. */
  float(key: string): number | undefined;
  strings(key: string): readonly string[] | undefined;
  floats(key: string): Float32Array | undefined;
  /** Array of integers of up to 32 bits. */
  integers(key: string): ArrayLike<number> | undefined;
  bools(key: string): readonly boolean[] | undefined;
  isArray(key: string): boolean;
  keys(): Iterable<string>;
  /** The value, or E_GGUF_METADATA saying that the key is missing. */
  required<Value>(get: (key: string) => Value | undefined, key: string): Value;
  /** E_GGUF_METADATA about a key. */
  wrong(key: string, what: string): SpInferError;
}

export function metadataOf(values: ReadonlyMap<string, GgufValue>, label: string): Metadata {
  const typeError = (key: string, value: GgufValue, expected: string) =>
    new SpInferError(
      "E_GGUF_TYPE",
      `${label}: "${printable(key)}" is of type ${typeName(value)}, expected ${expected}`,
      { path: label, expected },
    );
  const wrong = (key: string, what: string) =>
    new SpInferError("E_GGUF_METADATA", `${label}: "${printable(key)}" ${what}`, { path: label });

  function get<Value>(
    key: string,
    expected: string,
    read: (value: GgufValue) => Value | undefined,
  ): Value | undefined {
    const value = values.get(key);
    if (value === undefined) return undefined;
    const result = read(value);
    if (result === undefined) throw typeError(key, value, expected);
    return result;
  }

  const array = <Items extends GgufArray["items"]>(
    key: string,
    expected: string,
    types: readonly string[],
  ): Items | undefined =>
    get(key, expected, (value) =>
      value.type === "array" && types.includes(value.of) ? (value.items as Items) : undefined,
    );

  return {
    label,
    wrong,
    has: (key) => values.has(key),
    keys: () => values.keys(),
    isArray: (key) => values.get(key)?.type === "array",
    string: (key) =>
      get(key, "string", (value) => (value.type === "string" ? value.value : undefined)),
    bool: (key) => get(key, "bool", (value) => (value.type === "bool" ? value.value : undefined)),
    count(key) {
      const value = get(key, "an integer", integerOf);
      if (value === undefined) return undefined;
      if (typeof value === "bigint" || value < 0) {
        throw wrong(key, `is ${value}, expected 0 to 2^53 - 1`);
      }
      return value;
    },
    float(key) {
      const value = get(key, "f32 or f64", (found) =>
        found.type === "f32" || found.type === "f64" ? found.value : undefined,
      );
      if (value !== undefined && !Number.isFinite(value)) throw wrong(key, `is ${value}`);
      return value;
    },
    strings: (key) => array<readonly string[]>(key, "an array of strings", ["string"]),
    floats: (key) => array<Float32Array>(key, "an array of f32", ["f32"]),
    bools: (key) => array<readonly boolean[]>(key, "an array of bool", ["bool"]),
    integers: (key) =>
      array<Int32Array | Uint32Array>(key, "an array of i32 or u32", ["i32", "u32"]),
    required(read, key) {
      const value = read(key);
      if (value === undefined) throw wrong(key, "is missing from the metadata");
      return value;
    },
  };
}

function integerOf(value: GgufValue): number | bigint | undefined {
  return INTEGERS.has(value.type) ? (value as { value: number | bigint }).value : undefined;
}

function typeName(value: GgufValue): string {
  return value.type === "array" ? `array of ${value.of}` : value.type;
}
