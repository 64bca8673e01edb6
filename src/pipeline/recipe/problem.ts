/** What is wrong with a recipe, and the error that shows it at its place. */
import type { ErrorCode } from "../../core/errorCodes.ts";
import { SpInferError } from "../../core/errors.ts";
import { excerpt, placeOf } from "./excerpt.ts";

/** More than these help nobody. */
const MOST_SHOWN = 8;

export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  /** Where in the text, in UTF-16 units. */
  readonly offset: number;
  readonly hint?: string | undefined;
}

/**
 * One error for all problems, in the order of the text. Its code, offset and hint are those of the
 * first; its message has a `file:line:col: sentence` and the line with a caret for each.
 */
export function recipeError(
  text: string,
  label: string,
  problems: readonly Problem[],
): SpInferError {
  const sorted = problems.toSorted((a, b) => a.offset - b.offset);
  const first = sorted[0]!;
  const parts = sorted.slice(0, MOST_SHOWN).map(({ message, offset }) => {
    const place = placeOf(text, offset);
    const shown = excerpt(text, place);
    return `${label}:${place.line}:${place.column}: ${message}${shown === "" ? "" : `\n${shown}`}`;
  });
  if (sorted.length > MOST_SHOWN) parts.push(`and ${sorted.length - MOST_SHOWN} more`);
  return new SpInferError(first.code, parts.join("\n"), {
    path: label,
    offset: Buffer.byteLength(text.slice(0, first.offset)),
    hint: first.hint,
  });
}
