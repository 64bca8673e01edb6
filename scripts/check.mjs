/** Everything that is checked without running code: types, style, import directions, dead code. */
import { installPackages, run } from "./install.mjs";

export function check() {
  run("npx", ["--no-install", "tsc", "--noEmit", "-p", "tsconfig.json"]);
  run("npx", ["--no-install", "biome", "check", "."]);
  run("npx", [
    "--no-install",
    "depcruise",
    "src",
    "formats",
    "pruners",
    "--config",
    ".dependency-cruiser.json",
  ]);
  run("npx", ["--no-install", "knip"]);
}

if (process.argv[1]?.endsWith("check.mjs")) {
  installPackages();
  check();
}
