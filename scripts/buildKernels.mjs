/**
 * Builds libspinfer.so and, where asked, the native test programs; prints each command it runs.
 *
 *   node scripts/buildKernels.mjs [--targets 90a,80,...] [--tests] [--host] [--out kernels/build]
 *
 * --targets  GPU targets; the default is all of the library's, and PTX of the newest
 * --tests    also gpuTest (needs nvcc) and hostTest
 * --host     only hostTest: a C++ compiler suffices
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const KERNELS = fileURLToPath(new URL("../kernels/", import.meta.url));
const ALL_TARGETS = "80,86,89,90a,100,120";

const { values: options } = parseArgs({
  options: {
    targets: { type: "string", default: ALL_TARGETS },
    tests: { type: "boolean", default: false },
    host: { type: "boolean", default: false },
    out: { type: "string", default: join(KERNELS, "build") },
  },
});
const targets = options.targets.split(",");
const out = options.out;

const HOST_FLAGS = [
  "-std=c++17",
  "-O2",
  "-fPIC",
  "-fvisibility=hidden",
  "-fno-math-errno",
  "-Wall",
  "-Wextra",
];

function nvccFlags() {
  const flags = ["-std=c++17", "-O3", "--expt-relaxed-constexpr", "-cudart", "static"];
  if (options.tests) flags.push("-lineinfo"); // for the sanitizer and the profiler
  flags.push("-Xcompiler", HOST_FLAGS.slice(2).join(","));
  flags.push(`-DSPINFER_TARGETS="${targets.map((target) => `sm_${target}`).join(" ")}"`);
  for (const target of targets) flags.push(`-gencode=arch=compute_${target},code=sm_${target}`);
  const newest = targets.filter((target) => /^\d+$/.test(target)).at(-1);
  if (newest !== undefined) flags.push(`-gencode=arch=compute_${newest},code=compute_${newest}`);
  return flags;
}

function run(command, args) {
  console.log([command, ...args].join(" "));
  const done = spawnSync(command, args, { stdio: "inherit" });
  if (done.error !== undefined) {
    console.error(`buildKernels: ${command}: ${done.error.message}`);
    process.exit(1);
  }
  if (done.status !== 0) process.exit(done.status ?? 1);
}

function newestHeader() {
  const folders = ["include", "src", "measure", "test"].map((name) => join(KERNELS, name));
  const headers = folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((file) => /\.(h|cuh)$/.test(file));
  return Math.max(...headers.map((file) => statSync(file).mtimeMs));
}

/** The command that compiles one source; none when its object is newer than all that it is made of. */
function compilation(folder, name) {
  const source = join(KERNELS, folder, name);
  const kind = options.tests ? "tests" : "release";
  const object = join(out, `${folder}-${name}-${targets.join("-")}-${kind}.o`);
  const inputs = [statSync(source).mtimeMs, newestHeader()];
  inputs.push(statSync(fileURLToPath(import.meta.url)).mtimeMs);
  if (existsSync(object) && statSync(object).mtimeMs > Math.max(...inputs)) return { object };
  // what names the runtime's headers is compiled by nvcc too, which knows where they are
  const byHost = name.endsWith(".cpp") && folder !== "measure";
  const [command, flags] = byHost ? ["g++", HOST_FLAGS] : ["nvcc", nvccFlags()];
  return { object, command, args: [...flags, "-c", source, "-o", object] };
}

/** Compiles sources, as many at once as there are processors; the first failure ends the program. */
async function compileAll(sources) {
  const all = sources.map(([folder, name]) => compilation(folder, name));
  const waiting = all.filter(({ command }) => command !== undefined);
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { command, args } = next;
      console.log([command, ...args].join(" "));
      await new Promise((resolve) => {
        const child = spawn(command, args, { stdio: "inherit" });
        child.on("error", (error) => {
          console.error(`buildKernels: ${command}: ${error.message}`);
          process.exit(1);
        });
        child.on("exit", (status) => (status === 0 ? resolve() : process.exit(status ?? 1)));
      });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return all.map(({ object }) => object);
}

const sourcesIn = (folder) =>
  readdirSync(join(KERNELS, folder)).filter((name) => /\.(cu|cpp)$/.test(name));

const HOST_SOURCES = ["crc32.cpp", "geometry.cpp", "reference.cpp", "status.cpp", "validate.cpp"];

function buildHostTest() {
  const sources = HOST_SOURCES.map((name) => join(KERNELS, "src", name));
  const flags = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-fsanitize=address,undefined"];
  const test = join(KERNELS, "test", "hostTest.cpp");
  run("g++", [...flags, test, ...sources, "-o", join(out, "hostTest")]);
}

async function buildLibrary() {
  const objects = await compileAll(
    ["src", "measure"].flatMap((folder) => sourcesIn(folder).map((name) => [folder, name])),
  );
  const library = join(out, "libspinfer.so");
  const flags = ["-shared", "-cudart", "static", "-Xcompiler", "-static-libstdc++,-static-libgcc"];
  // what nobody calls goes, and with it all needs but libc: test/native/library.test.ts
  flags.push("-Xlinker", "--exclude-libs,ALL,--gc-sections,--as-needed");
  // whole or not at all: another process may be loading the one that is there
  run("nvcc", [...flags, ...objects, "-o", `${library}.new`]);
  renameSync(`${library}.new`, library);
  return objects;
}

async function buildGpuTest(objects) {
  const own = await compileAll([["test", "gpuTest.cu"]]);
  run("nvcc", ["-cudart", "static", ...own, ...objects, "-o", join(out, "gpuTest"), "-ldl"]);
}

mkdirSync(out, { recursive: true });
const started = Date.now();
if (options.host || options.tests) buildHostTest();
if (!options.host) {
  const objects = await buildLibrary();
  if (options.tests) await buildGpuTest(objects);
}
console.log(`${basename(out)}: ${((Date.now() - started) / 1000).toFixed(1)} s`);
