/**
 * Builds libspinfer_cpu.so, the native CPU engine: Linux on x64, with $CXX or else the first of c++, g++
 * and clang++ that is there. Only what is older than its sources is compiled.
 *
 *   node scripts/buildCpu.mjs [--verbose] [--optional] [--out kernels/build]
 *   node scripts/buildCpu.mjs --tests [--sanitize address,undefined]
 *
 * --verbose   prints each command
 * --optional  where a source does not compile, says so in one line and is done
 * --tests     also cpuTest, the library's own test
 * --sanitize  only cpuTest, with these of the compiler's sanitizers, in a folder of their name
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
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const KERNELS = fileURLToPath(new URL("../kernels/", import.meta.url));
const SOURCES = join(KERNELS, "cpu");
const TESTS = join(KERNELS, "test");
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
  "-Wno-uninitialized",
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
    tests: { type: "boolean", default: false },
    sanitize: { type: "string" },
    out: { type: "string", default: join(KERNELS, "build") },
  },
});
const isSanitized = options.sanitize !== undefined;
const folder = isSanitized ? join(options.out, options.sanitize.replaceAll(",", "-")) : options.out;
/** Finds end the test. Their checks are in the way of optimisations that take the compiler long. */
const SANITIZERS = isSanitized
  ? [
      "-O1",
      "-g",
      "-Wno-uninitialized",
      `-fsanitize=${options.sanitize}`,
      "-fno-sanitize-recover=all",
    ]
  : [];
const library = join(folder, "libspinfer_cpu.so");
const test = join(folder, "cpuTest");
const ageOf = (path) => statSync(path).mtimeMs;

/** The command with its arguments; undefined where none is there. */
function findCompiler() {
  const named = (process.env.CXX ?? "").split(/\s+/).filter((word) => word !== "");
  const candidates = named.length > 0 ? [named] : [["c++"], ["g++"], ["clang++"]];
  return candidates.find(
    ([command, ...args]) => spawnSync(command, [...args, "--version"]).status === 0,
  );
}

const filesIn = (source, pattern) =>
  readdirSync(source)
    .filter((name) => pattern.test(name))
    .map((name) => join(source, name));

/** What each object is made of. */
function objectsOf(sources) {
  return sources.flatMap((source) => {
    const object = (kind) => join(folder, `cpu-${basename(source)}-${kind}.o`);
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
      const made = await make(compiler, object, [...FLAGS, ...SANITIZERS, ...flags, "-c", source]);
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
  const parts = objectsOf(filesIn(SOURCES, /\.cpp$/));
  const cases = options.tests || isSanitized ? objectsOf(filesIn(TESTS, /^cpu.*\.cpp$/)) : [];
  const common = [...HEADERS, EXPORTS, fileURLToPath(import.meta.url)];
  const newestIn = (source) => Math.max(...[...common, ...filesIn(source, /\.h$/)].map(ageOf));
  const newest = { [SOURCES]: newestIn(SOURCES), [TESTS]: newestIn(TESTS) };
  const ageOfInput = ({ source }) => Math.max(newest[dirname(source)], ageOf(source));
  const isStale = (made, inputs) =>
    !existsSync(made) || ageOf(made) < Math.max(...inputs.map(ageOfInput));
  const products = [
    { made: library, inputs: parts, flags: LINK, last: [LINKER], isWanted: !isSanitized },
    {
      ...{ made: test, inputs: [...parts, ...cases], flags: ["-pthread", ...SANITIZERS], last: [] },
      isWanted: cases.length > 0,
    },
  ].filter(({ made, inputs, isWanted }) => isWanted && isStale(made, inputs));
  if (products.length === 0) return undefined;
  const compiler = findCompiler();
  if (compiler === undefined) {
    if (!options.optional) process.exitCode = 1;
    rmSync(library, { force: true }); // it is older than its sources
    const missing = process.env.CXX ? `CXX=${process.env.CXX} is not` : "there is no C++ compiler";
    return `${missing.replace(/is not$/, "cannot be run")}: the native CPU engine is left out`;
  }
  mkdirSync(folder, { recursive: true });
  const begun = Date.now();
  const stale = [...parts, ...cases].filter((part) => isStale(part.object, [part]));
  let isWell = await compileAll(compiler, stale);
  for (const { made, inputs, flags, last } of products) {
    const objects = inputs.map(({ object }) => object);
    isWell = isWell && (await make(compiler, made, [...flags, ...objects, ...last]));
  }
  if (!isWell) {
    rmSync(library, { force: true }); // it is older than its sources
    const said = `${compiler.join(" ")} does not compile the native CPU engine`;
    if (options.optional) return `${said}: left out (npm run build:cpu says why)`;
    process.exitCode = 1;
    return said;
  }
  const names = products.map(({ made }) => made).join(", ");
  return `${names}: ${((Date.now() - begun) / 1000).toFixed(1)} s`;
}

const said = await main();
if (said !== undefined) console.log(`buildCpu: ${said}`);
