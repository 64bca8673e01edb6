/** Colours, where they are wanted; and nothing a terminal could take for a command. */
import { printable } from "../../core/text.ts";
import type { Line, Span, Tone } from "./document.ts";

const CODES: Readonly<Record<Tone, readonly [begin: number, end: number]>> = {
  strong: [1, 22],
  faint: [2, 22],
  good: [32, 39],
  bad: [31, 39],
  caution: [33, 39],
};

/** Longest text from a file that is shown in one piece. */
const LONGEST = 2000;

export function paint(text: string, tone: Tone, colour: boolean): string {
  if (!colour) return text;
  const [begin, end] = CODES[tone];
  return `\u001b[${begin}m${text}\u001b[${end}m`;
}

export function showSpan(span: Span, colour: boolean): string {
  if (typeof span === "string") return printable(span, LONGEST);
  return paint(printable(span.text, LONGEST), span.tone, colour);
}

export function showLine(line: Line, colour: boolean): string {
  return line.map((span) => showSpan(span, colour)).join("");
}

/** Whether to colour: a terminal that can, and nobody who minds. */
export function wantsColour(
  isTty: boolean,
  env: Readonly<Record<string, string | undefined>>,
  asked: boolean,
): boolean {
  if (!asked || !isTty) return false;
  return (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}
