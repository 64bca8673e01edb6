/**
 * The text that is evaluated, as one string, and what it was made of.
 *
 *   FILE         its bytes as they are: line ends and a byte order mark stay
 *   FILE.jsonl   one object a line; its texts, joined by a blank line
 *   FOLDER       its .txt files in the order of their names' bytes, joined by a blank line
 *
 * Joining with "\n\n" is what GPTQ, SparseGPT and Wanda do with the rows of WikiText-2's test split.
 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { SpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { nearest, printable } from "../core/text.ts";
import { firstBadByte } from "../core/utf8.ts";
import { isJsonLines, readTextFiles, type TextFile } from "../io/textFiles.ts";

export const TEXT_SEPARATOR = "\n\n";
const DEFAULT_FIELD = "text";

export interface TextSet {
  /** As the user named it. */
  readonly path: string;
  readonly kind: "file" | "jsonl" | "folder";
  /** Of each line; JSONL only. */
  readonly field: string | undefined;
  readonly files: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly sha256: string;
  }[];
  /** Texts that were joined. */
  readonly documents: number;
  readonly text: string;
  /** SHA-256 of the text in UTF-8; of a plain file it is the file's own. */
  readonly sha256: string;
}

export interface TextSetOptions {
  /** The field of each JSON line; a file is read as JSONL when it is given or the name says so. */
  readonly field?: string | undefined;
  readonly limitBytes: number;
}

/** Throws E_TEXT, E_LIMIT, E_IO, E_NOT_REGULAR. */
export async function openTextSet(
  path: string,
  { field, limitBytes }: TextSetOptions,
): Promise<TextSet> {
  const { folder, files } = await readTextFiles(path, limitBytes);
  const lines = !folder && (field !== undefined || isJsonLines(path));
  if (folder && field !== undefined) {
    throw unusable(path, "--field is for a file of JSON lines, and this is a folder");
  }
  const texts = files.flatMap((file) =>
    lines ? fieldOfLines(file, field ?? DEFAULT_FIELD) : [decode(file)],
  );
  const text = texts.join(TEXT_SEPARATOR);
  if (text.trim() === "") throw unusable(path, "there is no text in it");
  let kind: TextSet["kind"] = folder ? "folder" : "file";
  if (lines) kind = "jsonl";
  return {
    path,
    kind,
    field: lines ? (field ?? DEFAULT_FIELD) : undefined,
    files: files.map(({ bytes, ...file }) => ({ ...file, bytes: bytes.length })),
    documents: texts.length,
    text,
    sha256: createHash("sha256").update(text).digest("hex"),
  };
}

function unusable(path: string, what: string, hint?: string): SpInferError {
  return new SpInferError("E_TEXT", `${path}: ${what}`, { path, hint });
}

function decode({ path, bytes }: TextFile): string {
  if (!isUtf8(bytes)) {
    const offset = firstBadByte(bytes);
    throw new SpInferError("E_TEXT", `${path}: byte ${offset} is not UTF-8`, {
      path,
      offset,
      expected: "text in UTF-8",
      hint: "name a text file, or convert this one (iconv -t UTF-8)",
    });
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

function fieldOfLines(file: TextFile, field: string): string[] {
  const { path } = file;
  return decode(file)
    .split("\n")
    .flatMap((line, i) => {
      if (line.trim() === "") return [];
      const where = `line ${i + 1}`;
      const row = parseLine(line, path, where);
      if (!Object.hasOwn(row, field)) throw noField(path, where, field, Object.keys(row));
      const text = row[field];
      if (typeof text !== "string") {
        throw unusable(path, `${where}: "${printable(field)}" is no text`);
      }
      if (/\p{Cs}/u.test(text)) throw unusable(path, `${where}: half of a surrogate pair`);
      return [text];
    });
}

function parseLine(line: string, path: string, where: string): Record<string, unknown> {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw new SpInferError("E_TEXT", `${path}: ${where} is not JSON`, {
      path,
      expected: "a JSON object on each line",
      hint: "plain text is named without --field, and not .jsonl",
      cause,
    });
  }
  if (isRecord(row)) return row;
  throw unusable(path, `${where} is not a JSON object`);
}

function noField(path: string, where: string, field: string, fields: string[]): SpInferError {
  const close = nearest(field, fields) ?? fields.find((name) => name !== "");
  const hint = close === undefined ? undefined : `write --field ${printable(close)}`;
  return unusable(path, `${where} has no field "${printable(field)}"`, hint);
}
