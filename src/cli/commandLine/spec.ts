/**
 * What a command line can hold, as data. Parsing, help, completion and documentation all come from
 * these tables, so they cannot disagree.
 */

/** What a value is, for completion. */
export type ValueKind = "file" | "folder" | "text";

export interface OptionSpec {
  readonly name: string;
  readonly alias?: string;
  /** A flag takes no value, a list may be given several times, an "optional" value may be left out. */
  readonly kind: "flag" | "value" | "list" | "optional";
  /** Stands for the value in help. */
  readonly placeholder?: string;
  readonly value?: ValueKind;
  readonly choices?: readonly string[];
  readonly summary: string;
  /** Heading in help. */
  readonly group: string;
}

export interface PositionalSpec {
  readonly name: string;
  readonly required: boolean;
  /** Takes every word that is left; only the last one can. */
  readonly repeated?: boolean;
  readonly value?: ValueKind;
  readonly choices?: readonly string[];
  readonly summary: string;
}

export const OUTPUT_FORMATS = ["auto", "human", "md", "json", "jsonl", "csv", "quiet"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface CommandSpec {
  /** One word, or two: "recipe init". */
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly PositionalSpec[];
  /** Without the global ones. */
  readonly options: readonly OptionSpec[];
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Whether its result has a table that CSV and JSON lines can hold. */
  readonly table: boolean;
}
