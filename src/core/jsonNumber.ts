/** The grammar of JSON numbers: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
import { JsonError } from "./jsonError.ts";

const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
/** Makes an ASCII letter lower-case. */
const LOWER = 0x20;
const LETTER_E = 0x65;

export function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Where the number that begins at `begin` ends. Throws JsonError "syntax". */
export function numberEnd(bytes: Uint8Array, begin: number): number {
  let at = bytes[begin] === MINUS ? begin + 1 : begin;
  at = bytes[at] === ZERO ? at + 1 : digitsEnd(bytes, at);
  if (isDigit(bytes[at])) {
    throw new JsonError("syntax", begin, "a number begins with a needless zero");
  }
  if (bytes[at] === POINT) at = digitsEnd(bytes, at + 1);
  if ((bytes[at]! | LOWER) !== LETTER_E) return at;
  const sign = bytes[at + 1];
  return digitsEnd(bytes, sign === PLUS || sign === MINUS ? at + 2 : at + 1);
}

/** Where the one or more digits at `begin` end. */
function digitsEnd(bytes: Uint8Array, begin: number): number {
  let at = begin;
  while (isDigit(bytes[at])) at++;
  if (at === begin) throw new JsonError("syntax", at, "expected a digit in a number");
  return at;
}
