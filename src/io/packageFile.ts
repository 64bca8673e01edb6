/** Files that come with the package beside its code: error pages, the embedded model. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { toSpInferError } from "../core/errors.ts";

/** From `dist/src/io` when built, from `src/io` when run as TypeScript. */
const ROOT = new URL(import.meta.url.endsWith(".ts") ? "../../" : "../../../", import.meta.url);

/** Absolute path of something in the package. */
export function packagePath(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

/** Its bytes. Throws E_IO when the package is not complete. */
export function readPackageFile(path: string): Uint8Array {
  const absolute = packagePath(path);
  try {
    return new Uint8Array(readFileSync(absolute));
  } catch (error) {
    throw toSpInferError(error, { path: absolute });
  }
}
