/**
 * Walks JSON text (RFC 8259) straight from its bytes, so that a large file becomes the caller's
 * own records with no tree in between. The text comes from strangers: it is checked to be UTF-8
 * as a whole first, nesting is bounded, and every refusal is a `JsonError` with its place.
 *
 * Memory: the bytes given, and the strings that the caller reads.
 */
import { isUtf8 } from "node:buffer";
import { JsonError } from "./jsonError.ts";
import { decodeEscapes } from "./jsonEscapes.ts";
import { isDigit, numberEnd } from "./jsonNumber.ts";
import { printable } from "./text.ts";
import { firstBadByte } from "./utf8.ts";

export type JsonKind = "object" | "array" | "string" | "number" | "boolean" | "null";

const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Longer runs of digits are above 2^53 in any case. */
const MAX_SAFE_DIGITS = 16;
const DEFAULT_DEPTH = 64;

/** Python's json writes and reads these, JSON has no such words. */
const NON_FINITE: readonly string[] = ["NaN", "Infinity", "-Infinity"];

export interface CursorOptions {
  /** Objects and lists inside each other. Default 64. */
  readonly maxDepth?: number;
  /** Take the words NaN, Infinity and -Infinity for numbers, as Python does. */
  readonly nonFinite?: boolean;
}

export class JsonCursor {
  /** Byte offset of what is read next. */
  position = 0;
  readonly #bytes: Buffer;
  readonly #maxDepth: number;
  readonly #words: readonly string[];
  #depth = 0;

  /** Throws JsonError "utf8" when the bytes are not UTF-8. A byte-order mark is not skipped. */
  constructor(bytes: Uint8Array, options: CursorOptions = {}) {
    if (!isUtf8(bytes)) {
      const offset = firstBadByte(bytes);
      const found = `0x${bytes[offset]?.toString(16).padStart(2, "0")}`;
      throw new JsonError("utf8", offset, `byte ${found} is not UTF-8`);
    }
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#maxDepth = options.maxDepth ?? DEFAULT_DEPTH;
    this.#words = options.nonFinite === true ? NON_FINITE : [];
  }

  /** What kind of value comes next. Throws "syntax" when none does. */
  kind(): JsonKind {
    this.#skipSpace();
    switch (this.#bytes[this.position]) {
      case OPEN_OBJECT:
        return "object";
      case OPEN_LIST:
        return "array";
      case QUOTE:
        return "string";
      case 0x74: // t
      case 0x66: // f
        return "boolean";
      case 0x6e: // n
        return "null";
      case MINUS:
        return "number";
      default:
        if (isDigit(this.#bytes[this.position]) || this.#wordAt(this.#words) !== undefined) {
          return "number";
        }
        throw this.unexpected("a value");
    }
  }

  /** Whether only white space is left. */
  atEnd(): boolean {
    this.#skipSpace();
    return this.position >= this.#bytes.length;
  }

  /** Throws "trailing" unless only white space is left. */
  end(): void {
    if (this.atEnd()) return;
    const detail =
      this.#bytes[this.position] === 0
        ? "NUL bytes follow the JSON text"
        : `${this.shown()} follows the JSON text`;
    throw new JsonError("trailing", this.position, detail);
  }

  /** Reads an object: `member` is called with each key and must read the value behind it. */
  object(member: (key: string, keyOffset: number) => void): void {
    this.#open(OPEN_OBJECT, "an object");
    if (this.#closes(CLOSE_OBJECT)) return;
    do {
      this.#skipSpace();
      const keyOffset = this.position;
      const key = this.string();
      this.#skipSpace();
      if (this.#bytes[this.position] !== COLON) throw this.unexpected("':'");
      this.position++;
      member(key, keyOffset);
    } while (this.#continues(CLOSE_OBJECT, "',' or '}'"));
  }

  /** Reads a list: `item` is called for each value and must read it. */
  array(item: (index: number) => void): void {
    this.#open(OPEN_LIST, "a list");
    if (this.#closes(CLOSE_LIST)) return;
    let index = 0;
    do item(index++);
    while (this.#continues(CLOSE_LIST, "',' or ']'"));
  }

  string(): string {
    this.#skipSpace();
    const bytes = this.#bytes;
    const begin = this.position + 1;
    if (bytes[this.position] !== QUOTE) throw this.unexpected("a string");
    let seen = 0;
    let escaped = false;
    let at = begin;
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === QUOTE) break;
      if (byte < SPACE) {
        throw new JsonError("syntax", at, `byte ${byte} must be escaped in a string`);
      }
      seen |= byte;
      if (byte === BACKSLASH) {
        escaped = true;
        at++;
      }
    }
    if (at >= bytes.length) throw new JsonError("syntax", begin - 1, "a string is not closed");
    this.position = at + 1;
    if (escaped) return decodeEscapes(bytes, begin, at);
    return bytes.toString(seen < 0x80 ? "latin1" : "utf8", begin, at);
  }

  /**
   * The whole number ≥ 0 that comes next. Undefined, and nothing is read, when the next value is
   * something else: a fraction, an exponent, a sign, a number above 2^53 - 1, no number at all.
   */
  count(): number | undefined {
    this.#skipSpace();
    const bytes = this.#bytes;
    let at = this.position;
    let value = 0;
    for (; at < bytes.length; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const digits = at - this.position;
    if (digits === 0 || digits > MAX_SAFE_DIGITS || value > Number.MAX_SAFE_INTEGER) {
      return undefined;
    }
    if (digits > 1 && bytes[this.position] === ZERO) return undefined;
    const next = bytes[at];
    if (next === POINT || next === 0x65 || next === 0x45) return undefined;
    this.position = at;
    return value;
  }

  /** The text of the number that comes next. */
  numberText(): string {
    this.#skipSpace();
    const begin = this.position;
    const word = this.#wordAt(this.#words);
    if (word !== undefined) {
      this.position += word.length;
      return word;
    }
    this.position = numberEnd(this.#bytes, begin);
    return this.#bytes.toString("latin1", begin, this.position);
  }

  /** true, false or null. */
  literal(): boolean | null {
    this.#skipSpace();
    const word = this.#wordAt(["true", "false", "null"]);
    if (word === undefined) throw this.unexpected("a value");
    this.position += word.length;
    return word === "null" ? null : word === "true";
  }

  /** Reads past the next value, whatever it is, and checks that it is well-formed. */
  skip(): void {
    switch (this.kind()) {
      case "object":
        this.object(() => this.skip());
        return;
      case "array":
        this.array(() => this.skip());
        return;
      case "string":
        this.string();
        return;
      case "number":
        this.#skipNumber();
        return;
      default:
        this.literal();
    }
  }

  /** A number that no double can hold is refused even where nobody asks for it, as serde does. */
  #skipNumber(): void {
    const begin = this.position;
    const text = this.numberText();
    if (Number.isFinite(Number(text)) || this.#words.includes(text)) return;
    throw new JsonError("syntax", begin, "a number is out of range");
  }

  /** What comes next, for messages. */
  shown(): string {
    if (this.position >= this.#bytes.length) return "the end of the text";
    const next = this.#bytes.toString("utf8", this.position, this.position + 24);
    return `'${printable(next.split("\n", 1)[0]!.replace(/\uFFFD+$/, ""), 24)}'`;
  }

  /** "expected … and found …", as a syntax error here. */
  unexpected(expected: string): JsonError {
    return new JsonError("syntax", this.position, `expected ${expected} and found ${this.shown()}`);
  }

  #open(bracket: number, what: string): void {
    this.#skipSpace();
    if (this.#bytes[this.position] !== bracket) throw this.unexpected(what);
    if (++this.#depth > this.#maxDepth) {
      throw new JsonError("depth", this.position, `more than ${this.#maxDepth} levels of nesting`);
    }
    this.position++;
  }

  #closes(bracket: number): boolean {
    this.#skipSpace();
    if (this.#bytes[this.position] !== bracket) return false;
    this.position++;
    this.#depth--;
    return true;
  }

  /** After a member or item: true behind a comma, false behind the closing bracket. */
  #continues(bracket: number, expected: string): boolean {
    this.#skipSpace();
    if (this.#bytes[this.position] === COMMA) {
      this.position++;
      return true;
    }
    if (this.#closes(bracket)) return false;
    throw this.unexpected(expected);
  }

  #skipSpace(): void {
    const bytes = this.#bytes;
    let at = this.position;
    while (at < bytes.length) {
      const byte = bytes[at]!;
      if (byte !== SPACE && byte !== LINE_FEED && byte !== RETURN && byte !== TAB) break;
      at++;
    }
    this.position = at;
  }

  #wordAt(words: readonly string[]): string | undefined {
    return words.find(
      (word) => this.#bytes.toString("latin1", this.position, this.position + word.length) === word,
    );
  }
}
