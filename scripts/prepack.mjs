/**
 * Before `npm pack`: the CUDA library with all its targets where nvcc is there, then dist/ with the
 * native CPU engine where a C++ compiler is there.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";

const builder = fileURLToPath(new URL("buildKernels.mjs", import.meta.url));

if (spawnSync("nvcc", ["--version"]).status === 0) {
  const { status } = spawnSync(process.execPath, [builder], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
} else {
  console.error(
    "prepack: nvcc is not there: the CUDA library is not built anew, and left out where none is built",
  );
}
build();
