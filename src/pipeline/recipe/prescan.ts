/**
 * Bounds on a recipe before the YAML parser sees it. The parser is recursive, and deep nesting has
 * been seen to end the process: the scan for depth is linear, knows no YAML beyond brackets, dashes
 * and indentation, and may count too many levels (in drawings and the like), never too few. And the
 * parser takes microseconds for each token, 256 KiB of which are seconds: tokens are counted, which
 * the lexer does without recursion and in a tenth of the time.
 */
import { Lexer } from "yaml";
import { SpInferError } from "../../core/errors.ts";
import { type Problem, recipeError } from "./problem.ts";

export const LARGEST_RECIPE_BYTES = 256 * 1024;
export const DEEPEST_RECIPE = 32;
/** Some 7,000 lines. */
const MOST_TOKENS = 50_000;
/** What the lexer says about the text, and is not in it: document, error, scalar. */
const LEXER_MARKS = new Set(["\x02", "\x18", "\x1f"]);

/** The text of a recipe. Throws E_RECIPE_LIMIT, E_RECIPE_ENCODING. */
export function decodeRecipe(bytes: Uint8Array, label: string): string {
  if (bytes.byteLength > LARGEST_RECIPE_BYTES) {
    throw new SpInferError(
      "E_RECIPE_LIMIT",
      `${label}: the recipe has ${bytes.byteLength} bytes, more than ${LARGEST_RECIPE_BYTES}`,
      { path: label },
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    const offset = firstBadByte(bytes);
    throw new SpInferError(
      "E_RECIPE_ENCODING",
      `${label}: the recipe is not UTF-8: byte ${offset} is 0x${bytes[offset]!.toString(16).padStart(2, "0")}`,
      { path: label, offset, hint: "save the file as UTF-8", cause },
    );
  }
}

/** Offset of the first byte that belongs to no UTF-8 character. Each probe decodes a prefix. */
function firstBadByte(bytes: Uint8Array): number {
  const decodes = (end: number): boolean => {
    try {
      // a stream may end inside a character
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, end), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  let good = 0;
  let bad = bytes.byteLength + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    if (middle <= bytes.byteLength && decodes(middle)) good = middle;
    else bad = middle;
  }
  return Math.min(good, bytes.byteLength - 1);
}

/**
 * Throws E_RECIPE_LIMIT when the text may nest deeper than 32 or has too many tokens,
 * E_RECIPE_SYNTAX on control characters.
 */
export function checkText(text: string, label: string): void {
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  if (control !== null) {
    const hex = control[0].charCodeAt(0).toString(16).padStart(2, "0");
    const message = `control character 0x${hex}`;
    fail(text, label, { code: "E_RECIPE_SYNTAX", message, offset: control.index });
  }
  const deep = tooDeepAt(text);
  if (deep !== undefined) {
    const message = `nested deeper than ${DEEPEST_RECIPE} levels`;
    fail(text, label, { code: "E_RECIPE_LIMIT", message, offset: deep });
  }
  let tokens = 0;
  let offset = 0;
  for (const token of new Lexer().lex(text)) {
    if (LEXER_MARKS.has(token)) continue;
    if (++tokens > MOST_TOKENS) {
      const message = `more than ${MOST_TOKENS} words and marks`;
      fail(text, label, { code: "E_RECIPE_LIMIT", message, offset });
    }
    offset += token.length;
  }
}

function fail(text: string, label: string, problem: Problem): never {
  throw recipeError(text, label, [problem]);
}

/** Where the text opens a level too many, if it does. */
function tooDeepAt(text: string): number | undefined {
  const indents: number[] = [];
  let brackets = 0;
  let begin = 0;
  for (const line of text.split("\n")) {
    const { indent, markers } = lineLevels(line);
    if (indent < line.length) {
      while (indents.length > 0 && indents.at(-1)! >= indent) indents.pop();
      indents.push(indent);
    }
    const block = indents.length + markers;
    if (block + brackets > DEEPEST_RECIPE) return begin;
    for (let at = indent; at < line.length; at++) {
      brackets = Math.max(brackets + bracketStep(line[at]!), 0);
      if (block + brackets > DEEPEST_RECIPE) return begin + at;
    }
    begin += line.length + 1;
  }
  return undefined;
}

function bracketStep(char: string): number {
  if (char === "[" || char === "{") return 1;
  return char === "]" || char === "}" ? -1 : 0;
}

/** Spaces before a line's content, and the `- - - ` or `? ? ` that open levels in it. */
function lineLevels(line: string): { readonly indent: number; readonly markers: number } {
  const start = /^[\t \r]*/.exec(line)![0].length;
  let markers = 0;
  for (let at = start; at < line.length; at++) {
    const char = line[at]!;
    if (/[-?:]/.test(char) && /^\s?$/.test(line.charAt(at + 1))) markers++;
    else if (char !== " " && char !== "\t") break;
  }
  return { indent: start, markers };
}
