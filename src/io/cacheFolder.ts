/** SpInfer's own cache folder: what was measured on this machine and can be measured again. */
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { toSpInferError } from "../core/errors.ts";
import { writeFileAtomic } from "./atomicFile.ts";
import { readSmallFile } from "./smallFile.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** SPINFER_CACHE, else `spinfer` in XDG_CACHE_HOME, LOCALAPPDATA or ~/.cache. */
export function cacheFolder(env: Environment = process.env): string {
  const own = env["SPINFER_CACHE"];
  if (own !== undefined && own !== "") return own;
  const base = env["XDG_CACHE_HOME"] || env["LOCALAPPDATA"] || join(homedir(), ".cache");
  return join(base, "spinfer");
}

/** A file of the cache folder, at most `limit` bytes; undefined when it is not there. */
export async function readCacheFile(path: string, limit: number): Promise<Uint8Array | undefined> {
  return existsSync(path) ? await readSmallFile(path, limit) : undefined;
}

/** Throws E_IO, E_NO_SPACE. */
export function makeCacheFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw toSpInferError(error, { path: folder });
  }
}

/** Replaces it; the folder is made. Throws E_IO, E_NO_SPACE. */
export async function writeCacheFile(folder: string, name: string, text: string): Promise<void> {
  makeCacheFolder(folder);
  await writeFileAtomic(join(folder, name), new TextEncoder().encode(text));
}
