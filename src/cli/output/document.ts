/**
 * A result for people, before it is known how it will be shown: lines, facts and tables. Texts are
 * taken as they come out of a model; making them safe for a terminal is the renderer's work.
 */

export type Tone = "strong" | "faint" | "good" | "bad" | "caution";

export type Span = string | { readonly text: string; readonly tone: Tone };
export type Line = readonly Span[];

export type Cell = string | number | boolean | null;

export interface Column {
  /** Name in CSV and JSON lines. */
  readonly key: string;
  /** Heading for people; "" for a column that needs none. */
  readonly title: string;
  readonly align?: "right";
  /** How a value is shown to people; absent: as it is. */
  readonly show?: (value: Cell) => string;
  readonly tone?: (value: Cell) => Tone | undefined;
  /** Left out where people read. */
  readonly dataOnly?: boolean;
}

export type Row = Readonly<Record<string, Cell>>;

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

export type Block =
  | { readonly kind: "lines"; readonly lines: readonly Line[] }
  | { readonly kind: "facts"; readonly facts: readonly (readonly [label: string, value: Line])[] }
  | { readonly kind: "table"; readonly table: Table }
  /** Text of our own, printed as it is: a recipe, a script, a page. */
  | { readonly kind: "text"; readonly text: string };

export type Document = readonly Block[];

export const strong = (text: string): Span => ({ text, tone: "strong" });
export const faint = (text: string): Span => ({ text, tone: "faint" });
export const good = (text: string): Span => ({ text, tone: "good" });
export const bad = (text: string): Span => ({ text, tone: "bad" });
export const caution = (text: string): Span => ({ text, tone: "caution" });

export const lines = (...list: readonly Line[]): Block => ({ kind: "lines", lines: list });
