/**
 * The files of a located model. A link is followed when it stays in the folder, or, in the Hugging
 * Face cache, leads to the same repository's blobs; anything else needs the user's word.
 */
import { readdirSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import type { ModelFiles } from "../core/byteSource.ts";
import { SpInferError, toSpInferError } from "../core/errors.ts";
import type { ModelLocation } from "./modelLocation.ts";
import { fileSource } from "./openFile.ts";

export interface FolderOptions {
  readonly followSymlinks: boolean;
}

/** The files of a model, read on request. */
export function modelFiles(location: ModelLocation, options: FolderOptions): ModelFiles {
  const { folder, file, label } = location;
  const names = file === undefined ? listNames(folder) : [file];
  const known = new Set(names);
  return {
    label,
    single: file !== undefined,
    names,
    has: (name) => known.has(name),
    open: async (name) =>
      fileSource(modelPath(location, name, options), join(label, file === undefined ? name : "")),
  };
}

function listNames(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => entry.name)
      .sort(byCodeUnit);
  } catch (error) {
    throw toSpInferError(error, { path: folder });
  }
}

function byCodeUnit(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The real path of a model's file. Throws E_PATH_ESCAPE when it leads out of the folder. */
export function modelPath({ folder }: ModelLocation, name: string, options: FolderOptions): string {
  const path = join(folder, name);
  if (name === "" || name !== basename(path) || name === "..") {
    throw new SpInferError(
      "E_PATH_ESCAPE",
      `${folder}: the file name "${name}" leads outside the folder`,
      { path: folder },
    );
  }
  let real: string;
  let root: string;
  try {
    real = realpathSync(path);
    root = realpathSync(folder);
  } catch (error) {
    const missing = (error as { code?: unknown }).code === "ENOENT";
    if (!missing) throw toSpInferError(error, { path });
    throw new SpInferError("E_SHARD_MISSING", `${path}: no such file`, { path, cause: error });
  }
  if (options.followSymlinks || isInside(real, root) || isInside(real, blobsOf(root))) return real;
  throw new SpInferError("E_PATH_ESCAPE", `${path}: a link that leads outside the model folder`, {
    path,
    found: real,
    hint: "if you trust it, run the command with --follow-symlinks",
  });
}

function isInside(path: string, folder: string | undefined): boolean {
  if (folder === undefined) return false;
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !way.includes(":");
}

/** …/models--org--name/snapshots/commit → …/models--org--name/blobs */
function blobsOf(root: string): string | undefined {
  const snapshots = dirname(root);
  return basename(snapshots) === "snapshots" ? join(dirname(snapshots), "blobs") : undefined;
}
