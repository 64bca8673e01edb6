/** HTML in which what was not written by us is always escaped. */
import { printable } from "../core/text.ts";

const LONGEST = 2000;

/** Text that is markup already. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Part = string | number | Markup | undefined | readonly Part[];

/** html`<b>${name}</b>`: values are escaped unless they are markup; lists are joined. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Markup {
  const parts = strings.flatMap((text, i) => (i === 0 ? [text] : [show(values[i - 1]), text]));
  return new Markup(parts.join(""));
}

function show(value: Part): string {
  if (value === undefined) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "number") return coordinate(value);
  if (typeof value === "string") return escaped(value);
  return value.map(show).join("");
}

/** Also safe inside an attribute in double quotes. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return printable(text, LONGEST).replace(/[&<>"']/g, (char) => entities[char]!);
}

/** Coordinates need no more than a hundredth of a pixel. */
function coordinate(value: number): string {
  return String(Number(value.toFixed(2)));
}
