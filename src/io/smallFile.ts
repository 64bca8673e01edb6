/** Small text files that a user names: recipes, reports. */
import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
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

/**
 * Whether a file can be put there, asked before the work whose result it is to hold.
 * Throws E_OUTPUT_EXISTS for a file without `force` and for a folder, E_PATH where its folder is none.
 */
export function checkSmallFile(path: string, force: boolean): void {
  if (isFolder(path)) {
    throw new SpInferError("E_OUTPUT_EXISTS", `${path}: there is a folder of that name`, {
      path,
      expected: "the name of a file",
      hint: "choose another name",
    });
  }
  if (!force && existsSync(path)) {
    throw new SpInferError("E_OUTPUT_EXISTS", `${path}: the file exists`, {
      path,
      hint: "choose another name, or replace it with --force",
    });
  }
  const parent = dirname(resolve(path));
  if (isFolder(parent)) return;
  throw new SpInferError("E_PATH", `${parent}: no such folder`, {
    path: parent,
    hint: "create it, or choose another output",
  });
}

/** Writes a file; an existing one only with `force`. Throws what the check does, E_IO, E_NO_SPACE. */
export async function writeSmallFile(path: string, text: string, force: boolean): Promise<void> {
  checkSmallFile(path, force);
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
