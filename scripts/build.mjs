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
  buildCpuLibrary();
  placeLibraries(fresh);
  chmodSync(join(fresh, "src/cli/main.js"), 0o755);
  rmSync(join(ROOT, "dist"), { recursive: true, force: true });
  renameSync(fresh, join(ROOT, "dist"));
}

/** The native CPU engine, where there is a compiler for it; without it another engine runs. */
function buildCpuLibrary() {
  const script = join(ROOT, "scripts/buildCpu.mjs");
  spawnSync(process.execPath, [script, "--optional"], { stdio: "inherit" });
}

/** Our libraries, where they were built for this platform: what an npm package brings along. */
function placeLibraries(folder) {
  for (const name of ["libspinfer.so", "libspinfer_cpu.so"]) {
    const library = join(ROOT, "kernels/build", name);
    if (!existsSync(library)) continue;
    // a build for one GPU is for whoever made it, not for others
    if (name === "libspinfer.so" && !readFileSync(library).includes(ALL_TARGETS)) continue;
    const target = join(folder, "native", `${process.platform}-${process.arch}`, name);
    if (existsSync(target) && statSync(target).mtimeMs >= statSync(library).mtimeMs) continue;
    mkdirSync(dirname(target), { recursive: true });
    // whole or not at all: another process may have loaded the one that is there
    copyFileSync(library, `${target}.${process.pid}`);
    renameSync(`${target}.${process.pid}`, target);
  }
}

/** Builds when a source is newer than what was built. */
export function buildIfStale() {
  const built = join(ROOT, "dist/src/index.js");
  const newest = Math.max(...filesIn(SOURCES).map((path) => statSync(join(ROOT, path)).mtimeMs));
  if (!existsSync(built) || statSync(built).mtimeMs < newest) return build();
  buildCpuLibrary();
  placeLibraries(join(ROOT, "dist"));
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
