/**
 * Packs what a machine with a GPU but without Node and network needs to run test:gpu and bench into
 * one archive, .gpu/pack.tar.gz: this Node, dist, production packages, the library and gpuTest.
 * Linux x64 only. kernels/test/gpu.sh unpacks it into the checkout that it is carried to.
 *
 *   npm run build:kernels -- --tests && npm run build && node scripts/packForGpu.mjs
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FOLDER = join(ROOT, ".gpu");
const STAGE = join(FOLDER, "stage");
const ARCHIVE = join(FOLDER, "pack.tar.gz");

function run(command, args) {
  console.log([command, ...args].join(" "));
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

for (const needed of [
  "dist/src/cli/main.js",
  "kernels/build/libspinfer.so",
  "kernels/build/gpuTest",
]) {
  if (existsSync(join(ROOT, needed))) continue;
  console.error(`packForGpu: ${needed} is not built yet`);
  process.exit(1);
}
rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(join(STAGE, "bin"), { recursive: true });
cpSync(process.execPath, join(STAGE, "bin/node"));
cpSync(join(ROOT, "dist"), join(STAGE, "dist"), { recursive: true });
for (const built of ["libspinfer.so", "gpuTest"]) {
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
run("tar", ["-czf", ARCHIVE, "-C", STAGE, "."]);
rmSync(STAGE, { recursive: true });
console.log(`${ARCHIVE}: ${(statSync(ARCHIVE).size / 1e6).toFixed(1)} MB`);
