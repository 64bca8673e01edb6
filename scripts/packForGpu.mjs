/**
 * Packs what a machine with a GPU but without Node and network needs to run test:gpu and bench into
 * one archive, .gpu/pack.tar.gz: this Node, dist, production packages, the library and gpuTest.
 * Linux x64 only. kernels/test/gpu.sh unpacks it into the checkout that it is carried to.
 *
 *   npm run build:kernels -- --tests && npm run build && node scripts/packForGpu.mjs
 *
 * --engine           also packs the CPU engine's library, into .gpu/engine.tar.gz
 * --without-kernels  leaves the library and gpuTest out, for runs that need none
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: { engine: { type: "boolean" }, "without-kernels": { type: "boolean" } },
});
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FOLDER = join(ROOT, ".gpu");
const STAGE = join(FOLDER, "stage");
const KERNELS = options["without-kernels"] ? [] : ["libspinfer.so", "gpuTest"];

function run(command, args) {
  console.log([command, ...args].join(" "));
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

for (const needed of ["dist/src/cli/main.js", ...KERNELS.map((name) => `kernels/build/${name}`)]) {
  if (existsSync(join(ROOT, needed))) continue;
  console.error(`packForGpu: ${needed} is not built yet`);
  process.exit(1);
}
rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(join(STAGE, "bin"), { recursive: true });
cpSync(process.execPath, join(STAGE, "bin/node"));
cpSync(join(ROOT, "dist"), join(STAGE, "dist"), { recursive: true });
for (const built of KERNELS) {
  cpSync(join(ROOT, "kernels/build", built), join(STAGE, "kernels/build", built));
}
for (const file of ["package.json", "package-lock.json"])
  cpSync(join(ROOT, file), join(STAGE, file));
run("npm", ["ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--prefix", STAGE]);
// the one optional package that the GPU needs, as it is here
for (const name of ["koffi", "@koromix"]) {
  cpSync(join(ROOT, "node_modules", name), join(STAGE, "node_modules", name), { recursive: true });
}
for (const file of ["package.json", "package-lock.json"]) rmSync(join(STAGE, file));
pack("pack.tar.gz");
if (options.engine) {
  // what it needs to run: its installer's packages and the other systems' libraries are left behind
  const LIBRARY = "node_modules/onnxruntime-node";
  for (const part of ["package.json", "dist", "bin/napi-v6/linux/x64"])
    cpSync(join(ROOT, LIBRARY, part), join(STAGE, LIBRARY, part), { recursive: true });
  const COMMON = "node_modules/onnxruntime-common";
  cpSync(join(ROOT, COMMON), join(STAGE, COMMON), { recursive: true });
  pack("engine.tar.gz");
}

function pack(name) {
  const archive = join(FOLDER, name);
  run("tar", ["-czf", archive, "-C", STAGE, "."]);
  rmSync(STAGE, { recursive: true });
  console.log(`${archive}: ${(statSync(archive).size / 1e6).toFixed(1)} MB`);
}
