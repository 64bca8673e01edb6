/**
 * Builds the wheel of integrations/python, with libspinfer.so inside when it was built; prints its
 * path. Needs a Python with setuptools 77 or newer (SPINFER_TEST_PYTHON, else .venv, else python3)
 * and nothing from the network.
 *
 *   node scripts/buildPython.mjs [--out integrations/python/dist] [--library FILE | --without-library]
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PACKAGE = join(ROOT, "integrations/python");
const BUILT_LIBRARY = join(ROOT, "kernels/build/libspinfer.so");

const { values: options } = parseArgs({
  options: {
    out: { type: "string", default: join(PACKAGE, "dist") },
    library: { type: "string" },
    "without-library": { type: "boolean", default: false },
  },
});

function interpreter() {
  const chosen = process.env.SPINFER_TEST_PYTHON;
  if (chosen !== undefined && chosen !== "") return chosen;
  const own = join(ROOT, ".venv/bin/python");
  return existsSync(own) ? own : "python3";
}

/** Path of the library to put inside, or undefined. */
function library() {
  if (options["without-library"]) return undefined;
  if (options.library === undefined) return existsSync(BUILT_LIBRARY) ? BUILT_LIBRARY : undefined;
  if (!existsSync(options.library)) fail(`${options.library}: no such file`);
  return options.library;
}

function fail(reason) {
  console.error(`buildPython: ${reason}`);
  process.exit(1);
}

/** The sources alone: what a build leaves behind must not end up in the next wheel. */
function stage(folder) {
  for (const name of ["pyproject.toml", "setup.py", "README.md", "src"]) {
    cpSync(join(PACKAGE, name), join(folder, name), {
      recursive: true,
      filter: (path) => !/__pycache__|\.egg-info|\/lib$/.test(path),
    });
  }
  cpSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  const inside = library();
  if (inside !== undefined) {
    mkdirSync(join(folder, "src/spinfer/lib"));
    cpSync(inside, join(folder, "src/spinfer/lib/libspinfer.so"));
  }
}

const staged = mkdtempSync(join(tmpdir(), "spinfer-wheel-"));
try {
  stage(staged);
  const made = join(staged, "dist");
  const build =
    "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])";
  const { status, error, stdout, stderr } = spawnSync(interpreter(), ["-c", build, made], {
    cwd: staged,
    encoding: "utf8",
  });
  if (error !== undefined) fail(error.message);
  if (status !== 0) fail(`setuptools failed:\n${stdout}${stderr}`);
  const out = resolve(options.out);
  mkdirSync(out, { recursive: true });
  for (const wheel of readdirSync(made)) {
    cpSync(join(made, wheel), join(out, wheel));
    console.log(join(out, wheel));
  }
} finally {
  rmSync(staged, { recursive: true, force: true });
}
