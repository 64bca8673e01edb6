/** Where something stands in a recipe: `file:line:col`, the line itself, and a caret under it. */
import { printable } from "../../core/text.ts";

/** Characters of a source line that are shown. */
const WIDTH = 96;

export interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
}

/** `offset` is in UTF-16 units and may be the end of the text. */
export function placeOf(text: string, offset: number): Place {
  const before = text.slice(0, offset);
  const lineBegin = before.lastIndexOf("\n") + 1;
  let line = 1;
  for (let at = before.indexOf("\n"); at >= 0; at = before.indexOf("\n", at + 1)) line++;
  return { line, column: [...before.slice(lineBegin)].length + 1 };
}

/**
 * Two lines, or none where the source line is blank:
 *
 *     7 |   sparsty: 0.5
 *       |   ^
 */
export function excerpt(text: string, place: Place): string {
  const source = [...(text.split("\n", place.line)[place.line - 1] ?? "").replace(/\r$/, "")];
  if (source.join("").trim() === "") return "";
  const begin = place.column > WIDTH ? place.column - WIDTH / 2 : 0;
  const shown = source.slice(begin, begin + WIDTH).map((char) => (char === "\t" ? " " : char));
  const caretAt = printable(shown.slice(0, place.column - 1 - begin).join(""), WIDTH * 8).length;
  const gutter = String(place.line);
  const line = `${gutter} | ${printable(shown.join(""), WIDTH * 8)}`;
  return `  ${line}\n  ${" ".repeat(gutter.length)} | ${" ".repeat(caretAt)}^`;
}
