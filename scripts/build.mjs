/**
 * Builds dist/: compiles with tsc and puts the files beside the code that it reads. The new folder
 * takes the old one's place only when it is complete.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** What a library with all targets says of itself (scripts/buildKernels.mjs). */
const ALL_TARGETS = "sm_80 sm_86 sm_89 sm_90a sm_100 sm_120";
const SOURCES = ["src", "formats", "pruners"];
/** Files other than TypeScript that the code reads; the same paths under dist/. */
const ASSET = /\.(?:wasm|schema\.json)$/;

export function build() {
  const fresh = join(ROOT, `dist.${process.pid}`);
  const tsc = join(
    dirname(createRequire(import.meta.url).resolve("typescript/package.json")),
    "bin",
    "tsc",
  );
  const args = [tsc, "-p", "tsconfig.build.json", "--outDir", fresh];
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    process.exit(status ?? 1);
  }
  for (const asset of filesIn(SOURCES).filter((path) => ASSET.test(path))) {
    const target = join(fresh, asset);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(ROOT, asset), target);
  }
  placeLibrary(fresh);
  chmodSync(join(fresh, "src/cli/main.js"), 0o755);
  rmSync(join(ROOT, "dist"), { recursive: true, force: true });
  renameSync(fresh, join(ROOT, "dist"));
}

/** The CUDA library, where it was built for this platform: what an npm package brings along. */
function placeLibrary(folder) {
  const library = join(ROOT, "kernels/build/libspinfer.so");
  // a build for one GPU is for whoever made it, not for others
  const isForAll = existsSync(library) && readFileSync(library).includes(ALL_TARGETS);
  if (!isForAll) return;
  const target = join(folder, "native", `${process.platform}-${process.arch}`, "libspinfer.so");
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(library, target);
}

/** Builds when a source is newer than what was built. */
export function buildIfStale() {
  const built = join(ROOT, "dist/src/index.js");
  const newest = Math.max(...filesIn(SOURCES).map((path) => statSync(join(ROOT, path)).mtimeMs));
  if (!existsSync(built) || statSync(built).mtimeMs < newest) build();
}

/** Paths of all files in folders, relative to the repository. */
function filesIn(folders) {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesIn([path]) : [path];
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
