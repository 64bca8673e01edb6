/**
 * Builds libspinfer_cpu.so, the native CPU engine: Linux on x64, with $CXX or else the first of c++, g++
 * and clang++ that is there. Only what is older than its sources is compiled.
 *
 *   node scripts/buildCpu.mjs [--verbose] [--optional] [--out kernels/build]
 *
 * --verbose   prints each command
 * --optional  where a source does not compile, says so in one line and is done
 */
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const KERNELS = fileURLToPath(new URL("../kernels/", import.meta.url));
const SOURCES = join(KERNELS, "cpu");
const HEADERS = [join(KERNELS, "include", "spinfer_cpu.h")];

/** In sources that are compiled once for each instruction set; others run on any processor. */
const PER_SET = "namespace spinfer::cpu::SPINFER_CPU_SET";
const AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"];
const SETS = {
  avx2: ["-mavx2", "-mfma", "-mf16c"],
  avx512: AVX512,
  amx: [...AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
};
const FLAGS = [
  "-std=c++17",
  "-O3",
  "-fPIC",
  "-fvisibility=hidden",
  "-fno-math-errno",
  "-ffp-contract=fast",
  "-Wall",
  "-Wextra",
  // GCC's own intrinsics (its bug 105593); Clang does not know the warning
  "-Wno-maybe-uninitialized",
  "-Wno-unknown-warning-option",
];
// the C++ library goes in, and stays inside: Node has one of its own
const LINK = ["-shared", "-pthread", "-static-libstdc++", "-static-libgcc"];
const EXPORTS = join(SOURCES, "exports.map");
const LINKER = `-Wl,-z,defs,--gc-sections,--as-needed,--version-script=${EXPORTS}`;

const { values: options } = parseArgs({
  options: {
    verbose: { type: "boolean", default: false },
    optional: { type: "boolean", default: false },
    out: { type: "string", default: join(KERNELS, "build") },
  },
});
const library = join(options.out, "libspinfer_cpu.so");
const ageOf = (path) => statSync(path).mtimeMs;

/** The command with its arguments; undefined where none is there. */
function findCompiler() {
  const named = (process.env.CXX ?? "").split(/\s+/).filter((word) => word !== "");
  const candidates = named.length > 0 ? [named] : [["c++"], ["g++"], ["clang++"]];
  return candidates.find(
    ([command, ...args]) => spawnSync(command, [...args, "--version"]).status === 0,
  );
}

/** What each object is made of. */
function objects() {
  const sources = readdirSync(SOURCES).filter((name) => name.endsWith(".cpp"));
  return sources.flatMap((name) => {
    const source = join(SOURCES, name);
    const object = (kind) => join(options.out, `cpu-${name}-${kind}.o`);
    if (!readFileSync(source, "utf8").includes(PER_SET))
      return [{ source, object: object("baseline"), flags: [] }];
    return Object.entries(SETS).map(([set, flags]) => ({
      ...{ source, object: object(set) },
      flags: [`-DSPINFER_CPU_SET=${set}`, ...flags],
    }));
  });
}

/** Whole or not at all: another process may be reading the file that is there. */
async function make(compiler, target, args) {
  const fresh = `${target}.${process.pid}`;
  const [command, ...words] = [...compiler, ...args, "-o", fresh];
  if (options.verbose) console.log([command, ...words].join(" "));
  const status = await new Promise((resolve) => {
    const stdio = options.optional && !options.verbose ? "ignore" : "inherit";
    const child = spawn(command, words, { stdio });
    child.on("error", () => resolve(1));
    child.on("exit", resolve);
  });
  if (status === 0) renameSync(fresh, target);
  else rmSync(fresh, { force: true });
  return status === 0;
}

async function compileAll(compiler, waiting) {
  let isWell = true;
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined && isWell; next = waiting.shift()) {
      const { source, object, flags } = next;
      const made = await make(compiler, object, [...FLAGS, ...flags, "-c", source]);
      isWell = isWell && made;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return isWell;
}

async function main() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return "the native CPU engine is for Linux on x64: left out";
  }
  const wanted = objects();
  const headers = readdirSync(SOURCES).filter((name) => name.endsWith(".h"));
  const common = [...HEADERS, EXPORTS, ...headers.map((name) => join(SOURCES, name))];
  const newest = Math.max(...[...common, fileURLToPath(import.meta.url)].map(ageOf));
  const isStale = (made, inputs) =>
    !existsSync(made) || ageOf(made) < Math.max(newest, ...inputs.map(ageOf));
  if (
    !isStale(
      library,
      wanted.map(({ source }) => source),
    )
  ) {
    return undefined;
  }
  const compiler = findCompiler();
  if (compiler === undefined) return "there is no C++ compiler: the native CPU engine is left out";
  mkdirSync(options.out, { recursive: true });
  const begun = Date.now();
  const stale = wanted.filter(({ source, object }) => isStale(object, [source]));
  const linked = [...LINK, ...wanted.map(({ object }) => object), LINKER];
  if (!(await compileAll(compiler, stale)) || !(await make(compiler, library, linked))) {
    if (!options.optional) process.exitCode = 1;
    return `${compiler.join(" ")} does not compile the native CPU engine: left out (npm run build:cpu says why)`;
  }
  return `${library}: ${((Date.now() - begun) / 1000).toFixed(1)} s`;
}

const said = await main();
if (said !== undefined) console.log(`buildCpu: ${said}`);
