/** Files that come with the package: WebAssembly modules, schemas. */
import { readFileSync } from "node:fs";

/** `path` is relative to the package's code root (the folder with `src`, `formats`, `pruners`). */
export function readAsset(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../${path}`, import.meta.url)));
}
