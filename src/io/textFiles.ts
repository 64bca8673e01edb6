/** Files of text that a user names, read whole; a text set is small beside a model. */
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { SpInferError, toSpInferError } from "../core/errors.ts";
import { fileSource } from "./openFile.ts";

export interface TextFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Of the bytes as they are in the file. */
  readonly sha256: string;
}

/** Whether a file's name says that it holds an object a line. */
export function isJsonLines(path: string): boolean {
  return /\.(?:jsonl|ndjson)$/i.test(path);
}

/**
 * The file, or the .txt files of the folder by name; not those of folders in it. At most `limit`
 * bytes in all. Throws E_TEXT for a folder without any, E_LIMIT, E_IO, E_NOT_REGULAR.
 */
export async function readTextFiles(
  path: string,
  limit: number,
): Promise<{ readonly folder: boolean; readonly files: readonly TextFile[] }> {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const files: TextFile[] = [];
  let left = limit;
  for (const member of folder ? listTexts(path) : [path]) {
    const source = fileSource(member);
    left -= source.size;
    if (left < 0) {
      throw new SpInferError("E_LIMIT", `${path}: more text than the limit allows`, {
        path,
        found: `at least ${limit - left} bytes`,
        expected: `at most ${limit} bytes`,
        hint: "evaluate a part of it, or raise the limit with --limit textBytes=N",
      });
    }
    const bytes = await source.read(0, source.size);
    files.push({ path: member, bytes, sha256: createHash("sha256").update(bytes).digest("hex") });
  }
  return { folder, files };
}

function listTexts(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && entry.name.endsWith(".txt"))
      .map(({ name }) => name);
  } catch (error) {
    throw toSpInferError(error, { path: folder });
  }
  if (names.length === 0) {
    throw new SpInferError("E_TEXT", `${folder}: the folder has no .txt file`, {
      path: folder,
      expected: "a text file, a .jsonl file, or a folder of .txt files",
    });
  }
  return names
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((name) => join(folder, name));
}
