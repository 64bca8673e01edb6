/**
 * JSON from strangers as a tree that keeps what JSON.parse loses: a key given twice is refused,
 * objects are Maps (so that `__proto__` is a key like others), and a number that is no plain
 * integer keeps its text (1.0, 1e2, -0 and 9007199254740993 can be told from 1, 100 and 0).
 *
 * For config files and the like; large files are read with `JsonCursor` directly.
 */
import { type CursorOptions, JsonCursor } from "./jsonCursor.ts";
import { JsonError } from "./jsonError.ts";
import { printable } from "./text.ts";

/** A number that is not a safe integer written plainly. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** The nearest double; may be infinite. */
  get value(): number {
    return Number(this.text);
  }
}

/** Integers within ±(2^53 - 1), without fraction, exponent or minus zero, are plain numbers. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | JsonNumber
  | readonly JsonValue[]
  | ReadonlyMap<string, JsonValue>;

/** Throws JsonError, with a byte offset. */
export function parseStrictJson(bytes: Uint8Array, options: CursorOptions = {}): JsonValue {
  const cursor = new JsonCursor(bytes, options);
  const value = readValue(cursor);
  cursor.end();
  return value;
}

/** The value that comes next. */
export function readValue(cursor: JsonCursor): JsonValue {
  switch (cursor.kind()) {
    case "object":
      return readObject(cursor);
    case "array": {
      const items: JsonValue[] = [];
      cursor.array(() => items.push(readValue(cursor)));
      return items;
    }
    case "string":
      return cursor.string();
    case "number":
      return readNumber(cursor);
    default:
      return cursor.literal();
  }
}

function readObject(cursor: JsonCursor): Map<string, JsonValue> {
  const members = new Map<string, JsonValue>();
  cursor.object((key, offset) => {
    if (members.has(key)) {
      throw new JsonError("duplicate", offset, `key "${printable(key, 80)}" is there twice`);
    }
    members.set(key, readValue(cursor));
  });
  return members;
}

function readNumber(cursor: JsonCursor): number | JsonNumber {
  const text = cursor.numberText();
  const value = Number(text);
  const plain = /^-?\d+$/.test(text) && Number.isSafeInteger(value) && !Object.is(value, -0);
  return plain ? value : new JsonNumber(text);
}

/**
 * The tree as ordinary objects, lists and numbers. A key `__proto__` becomes an own property;
 * numbers that a double cannot hold are rounded.
 */
export function plainJson(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (Array.isArray(value)) return value.map(plainJson);
  if (value instanceof Map) {
    const plain: Record<string, unknown> = {};
    for (const [key, member] of value) {
      Object.defineProperty(plain, key, {
        value: plainJson(member),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    return plain;
  }
  return value;
}
