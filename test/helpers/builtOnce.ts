/** Builds dist/ before tests that run the built command line, when a source is newer than it. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SOURCES = ["src", "formats", "pruners"];

export function setup(): void {
  const built = join(ROOT, "dist/src/index.js");
  const newest = Math.max(...SOURCES.map((folder) => newestIn(join(ROOT, folder))));
  if (existsSync(built) && statSync(built).mtimeMs >= newest) return;
  const { status } = spawnSync(process.execPath, ["scripts/build.mjs"], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) throw new Error("npm run build failed");
}

function newestIn(folder: string): number {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, newestIn(path));
    else if (/\.(ts|wasm|json)$/.test(entry.name)) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}
