/** Builds dist/: compiles with tsc and puts the files beside the code that it reads. */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ASSETS = [
  "formats/tile-bitmap/wasm/tileBitmap.wasm",
  "pruners/wasm/select.wasm",
  "src/pipeline/recipe/recipe.schema.json",
];

rmSync(join(ROOT, "dist"), { recursive: true, force: true });
const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
for (const asset of ASSETS) {
  const target = join(ROOT, "dist", asset);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(join(ROOT, asset), target);
}
const bin = join(ROOT, "dist/src/cli/main.js");
if (existsSync(bin)) chmodSync(bin, 0o755);
