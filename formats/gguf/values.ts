/**
 * Reads the metadata of a GGUF file: keys with typed values.
 * Memory: what the values take; counts are checked against the bytes of the file before any
 * array is made, and nested arrays against a depth.
 */
import type { Limits } from "../../src/core/limits.ts";
import { printable } from "../../src/core/text.ts";
import type { Cursor } from "./cursor.ts";
import type { ArrayItems, GgufArray, GgufValue } from "./header.ts";
import { VALUE_BYTES, VALUE_TYPES, type ValueType } from "./types.ts";

/** 65535 is the longest key that the specification allows. */
const MAX_KEY_BYTES = 65_535;

/** What is being read, and how many arrays there were so far: nested ones must stay few. */
interface Reading {
  readonly cursor: Cursor;
  readonly limits: Limits;
  what: string;
  arrays: number;
}

/** Throws E_GGUF_DUP, E_GGUF_STRING, E_GGUF_TYPE, E_GGUF_TRUNCATED or E_LIMIT. */
export function readMetadata(
  cursor: Cursor,
  count: number,
  limits: Limits,
): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const reading: Reading = { cursor, limits, what: "", arrays: 0 };
  for (let i = 0; i < count; i++) {
    const begin = cursor.offset;
    const key = cursor.string(MAX_KEY_BYTES, "ggufStringBytes", `metadata key ${i}`);
    if (key === "") {
      throw cursor.error("E_GGUF_STRING", `metadata key ${i} is empty`, { offset: begin });
    }
    reading.what = `"${printable(key)}"`;
    if (metadata.has(key)) {
      throw cursor.error("E_GGUF_DUP", `the metadata key ${reading.what} is there twice`, {
        offset: begin,
      });
    }
    metadata.set(key, readValue(reading, readType(reading)));
  }
  return metadata;
}

function readType({ cursor, what }: Reading): ValueType {
  const begin = cursor.offset;
  const id = cursor.u32(what);
  const type = VALUE_TYPES[id];
  if (type !== undefined) return type;
  throw cursor.error("E_GGUF_TYPE", `${what} has a value of the unknown type ${id}`, {
    offset: begin,
    expected: `0 to ${VALUE_TYPES.length - 1}`,
  });
}

function readValue(reading: Reading, type: ValueType): GgufValue {
  const { cursor, what } = reading;
  switch (type) {
    case "string":
      return { type, value: readString(reading) };
    case "bool":
      return { type, value: readBool(reading) };
    case "u64":
      return { type, value: cursor.u64Exact(what) };
    case "i64":
      return { type, value: cursor.i64Exact(what) };
    case "array":
      return readArray(reading, 1);
    default:
      return { type, value: cursor[type](what) };
  }
}

function readString({ cursor, limits, what }: Reading): string {
  return cursor.string(limits.ggufStringBytes, "ggufStringBytes", what);
}

function readBool({ cursor, what }: Reading): boolean {
  const value = cursor.u8(what);
  if (value > 1) {
    throw cursor.error("E_GGUF_TYPE", `${what} is a truth value of ${value}, expected 0 or 1`, {
      offset: cursor.offset - 1,
    });
  }
  return value === 1;
}

function readArray(reading: Reading, depth: number): GgufArray {
  const { cursor, limits, what } = reading;
  const begin = cursor.offset;
  if (depth > limits.ggufArrayDepth) {
    throw cursor.error("E_GGUF_TYPE", `${what} nests arrays more than ${depth - 1} deep`, {
      offset: begin,
    });
  }
  const of = readType(reading);
  const count = cursor.u64(what);
  if (count * VALUE_BYTES[of] > cursor.remaining) {
    throw cursor.error("E_GGUF_TYPE", `${what} is an array of ${count} values of type ${of}`, {
      offset: begin,
      expected: `no more than the ${cursor.remaining} bytes that follow can hold`,
    });
  }
  checkLimit(reading, "ggufArrayItems", count, begin);
  reading.arrays += of === "array" ? count : 0;
  checkLimit(reading, "ggufKeys", reading.arrays, begin);
  return { type: "array", of, items: readItems(reading, of, count, depth) };
}

function checkLimit(
  { cursor, limits, what }: Reading,
  name: "ggufArrayItems" | "ggufKeys",
  count: number,
  offset: number,
): void {
  if (count <= limits[name]) return;
  const kind = name === "ggufKeys" ? "arrays" : "values";
  throw cursor.error("E_LIMIT", `${what} is an array of ${count} ${kind}, over the limit`, {
    offset,
    expected: `at most ${limits[name]}`,
    hint: `if the file is right, raise the limit: --limit ${name}=${count}`,
  });
}

function readItems(reading: Reading, of: ValueType, count: number, depth: number): ArrayItems {
  const { cursor, what } = reading;
  const list = <Item>(read: () => Item): Item[] => Array.from({ length: count }, read);
  switch (of) {
    case "string":
      return list(() => readString(reading));
    case "bool":
      return list(() => readBool(reading));
    case "u64":
      return list(() => cursor.u64Exact(what));
    case "i64":
      return list(() => cursor.i64Exact(what));
    case "array":
      return list(() => readArray(reading, depth + 1));
    default: {
      // fresh memory, and little-endian like the machines that SpInfer runs on
      const bytes = cursor.bytes(count * VALUE_BYTES[of], what);
      return new PACKED[of](bytes.buffer as ArrayBuffer);
    }
  }
}

const PACKED = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  f64: Float64Array,
} as const;
