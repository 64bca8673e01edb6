/** Small text files that a user names: recipes. */
import { existsSync, statSync } from "node:fs";
import { SpInferError } from "../core/errors.ts";
import { writeFileAtomic } from "./atomicFile.ts";
import { closeFile, fileSource } from "./openFile.ts";

/** The first bytes of a file as it is now, at most `limit`. Throws E_NOT_REGULAR, E_IO. */
export async function readSmallFile(path: string, limit: number): Promise<Uint8Array> {
  closeFile(path); // a descriptor kept from an earlier reading may be of a file replaced since
  const source = fileSource(path);
  const bytes = await source.read(0, Math.min(source.size, limit));
  closeFile(path);
  return bytes;
}

/** Writes a file; an existing one only with `force`. Throws E_OUTPUT_EXISTS, E_IO, E_NO_SPACE. */
export async function writeSmallFile(path: string, text: string, force: boolean): Promise<void> {
  if (!force && existsSync(path)) {
    throw new SpInferError("E_OUTPUT_EXISTS", `${path}: the file exists`, {
      path,
      hint: "choose another name, or replace it with --force",
    });
  }
  await writeFileAtomic(path, new TextEncoder().encode(text));
}

/** Throws E_MODEL_NOT_FOUND when there is no folder of that name. */
export function requireFolder(path: string, expected: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return;
  const what = stat === undefined ? "no such folder" : "a file, not a folder";
  throw new SpInferError("E_MODEL_NOT_FOUND", `${path}: ${what}`, { path, expected });
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
