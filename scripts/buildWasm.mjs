/**
 * Rebuilds the committed .wasm files from their C sources, or with --check compares them.
 * Needs clang 14 and lld 14 (Debian: clang-14 lld-14): other versions give other bytes.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const MODULES = [
  "src/core/wasm/half",
  "formats/tile-bitmap/wasm/tileBitmap",
  "pruners/wasm/dense",
  "pruners/wasm/select",
];
const COMPILE = [
  ...["--target=wasm32", "-O3", "-msimd128", "-ffreestanding", "-fvisibility=hidden"],
  ...["-Wall", "-Wextra", "-Werror", "-c"],
];
const LINK = ["--no-entry", "--strip-all", "--export=__heap_base"];

/** Compiles one module; returns its bytes. */
export function compile(module) {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-wasm-"));
  const object = join(folder, "module.o");
  const target = join(folder, "module.wasm");
  // linked by hand: the compiler driver would run whatever wasm-opt it finds
  run("clang-14", [...COMPILE, "-o", object, `${module}.c`]);
  run("wasm-ld-14", [...LINK, "-o", target, object]);
  return readFileSync(target);
}

function run(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
  if (error !== undefined) throw new Error(`${command} cannot be run: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}\n${stderr}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let different = 0;
  for (const module of MODULES) {
    const built = compile(module);
    const path = join(ROOT, `${module}.wasm`);
    if (process.argv.includes("--check")) {
      const same = built.equals(readFileSync(path));
      console.log(`${module}.wasm: ${same ? "as built from source" : "DIFFERS from its source"}`);
      if (!same) different++;
    } else {
      writeFileSync(path, built);
      console.log(`${module}.wasm: ${built.length} bytes`);
    }
  }
  process.exitCode = different === 0 ? 0 : 1;
}
