/** What a command hands back to be printed. Commands themselves print nothing. */
import type { ErrorRecord } from "../core/errors.ts";
import type { Document, Table } from "./output/document.ts";

export interface Outcome {
  /** The `result` of the JSON form; its shape is a schema in ./schemas. */
  readonly result: object;
  /** For people. A function, since it is not needed when a program asks. */
  readonly document: () => Document;
  /** For CSV and JSON lines; only of commands whose `table` is true. */
  readonly table?: () => Table;
  /** What --quiet prints; absent: nothing. */
  readonly quiet?: string;
  /** A result that says no: verify found something. Absent: all is well. */
  readonly failure?: { readonly exit: number; readonly first: ErrorRecord };
}
