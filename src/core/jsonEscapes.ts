/** The escapes of JSON strings. A surrogate without its partner is refused: it has no UTF-8. */
import { JsonError } from "./jsonError.ts";

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

const SIMPLE: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** The string whose text is bytes begin..end: valid UTF-8 with escapes, no bare quote. */
export function decodeEscapes(bytes: Buffer, begin: number, end: number): string {
  // searched for backslashes below, which must not run on behind the string
  const text = bytes.subarray(begin, end);
  const parts: string[] = [];
  let at = 0;
  while (at < text.length) {
    const slash = text.indexOf(BACKSLASH, at);
    const stop = slash === -1 ? text.length : slash;
    if (stop > at) parts.push(text.toString("utf8", at, stop));
    if (slash === -1) break;
    const [char, next] = decodeEscape(text, slash, begin);
    parts.push(char);
    at = next;
  }
  return parts.join("");
}

/** The character of the escape at `at`, and where the text goes on. `base` is for messages. */
function decodeEscape(text: Buffer, at: number, base: number): [string, number] {
  if (text[at + 1] !== LETTER_U) {
    const char = SIMPLE[String.fromCharCode(text[at + 1]!)];
    if (char === undefined)
      throw new JsonError("syntax", base + at, "an escape JSON does not have");
    return [char, at + 2];
  }
  const unit = codeUnit(text, at, base);
  if (unit < 0xd800 || unit > 0xdfff) return [String.fromCharCode(unit), at + 6];
  const paired = unit < 0xdc00 && text[at + 6] === BACKSLASH && text[at + 7] === LETTER_U;
  const second = paired ? codeUnit(text, at + 6, base) : 0;
  if (second < 0xdc00 || second > 0xdfff) {
    const half = `\\u${unit.toString(16)}`;
    throw new JsonError("utf8", base + at, `${half} is half of a surrogate pair`);
  }
  return [String.fromCharCode(unit, second), at + 12];
}

function codeUnit(text: Buffer, at: number, base: number): number {
  const digits = text.toString("latin1", at + 2, at + 6);
  if (!/^[0-9a-f]{4}$/i.test(digits)) {
    throw new JsonError("syntax", base + at, "\\u without four hexadecimal digits");
  }
  return Number.parseInt(digits, 16);
}
