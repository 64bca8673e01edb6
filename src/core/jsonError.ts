/** How readers of JSON refuse. */

/** Why text was refused; the caller maps it to a code of its own. */
export type JsonFault = "utf8" | "syntax" | "duplicate" | "depth" | "limit" | "trailing" | "type";

export class JsonError extends Error {
  override readonly name = "JsonError";
  readonly kind: JsonFault;
  /** Byte offset in the text. */
  readonly offset: number;

  constructor(kind: JsonFault, offset: number, detail: string) {
    super(detail);
    this.kind = kind;
    this.offset = offset;
  }
}
