/**
 * `npm test`: installs, builds, checks, and runs all tests. Cross-checks against Python run in a
 * virtual environment that this script makes in .venv; without python3 they are skipped and say
 * so. SPINFER_REQUIRE=python,clang,… turns such skips into failures. Arguments go to vitest.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { check } from "./check.mjs";
import { installPackages, ROOT, run } from "./install.mjs";

const REQUIREMENTS = "test/requirements.txt";

installPackages();
build();
const python = preparePython();
check();

const results = join(tmpdir(), `spinfer-test-${process.pid}.json`);
const status = run(
  "npx",
  [
    "--no-install",
    "vitest",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ],
  {
    mayFail: true,
    env: { ...process.env, ...(python === undefined ? {} : { SPINFER_TEST_PYTHON: python }) },
  },
);
if (!existsSync(results)) process.exit(status === 0 ? 1 : (status ?? 1));
const { numPassedTests, numFailedTests, numPendingTests, success } = JSON.parse(
  readFileSync(results, "utf8"),
);
rmSync(results);
if (numPendingTests > 0) console.log(`${numPendingTests} skipped, for the reasons printed above`);
console.log(`${numPassedTests} passed, ${numFailedTests} failed`);
process.exitCode = success && status === 0 ? 0 : 1;

/** Path of the interpreter for cross-checks, or undefined with the reason printed. */
function preparePython() {
  const chosen = process.env.SPINFER_TEST_PYTHON;
  if (chosen !== undefined && chosen !== "") return chosen;
  const [folder, name] =
    process.platform === "win32" ? ["Scripts", "python.exe"] : ["bin", "python"];
  const interpreter = join(ROOT, ".venv", folder, name);
  const stamp = join(ROOT, ".venv", ".requirements");
  const wanted = createHash("sha256")
    .update(readFileSync(join(ROOT, REQUIREMENTS)))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return interpreter;
  const system = ["python3", "python"].find((command) => {
    const { status: found, stdout } = spawnSync(command, [
      "-c",
      "import sys, venv; print(sys.version_info >= (3, 10))",
    ]);
    return found === 0 && String(stdout).trim() === "True";
  });
  if (system === undefined) {
    console.log(
      "no python3 (3.10 or newer, with venv): the cross-checks against Python packages are skipped",
    );
    return undefined;
  }
  const made = run(system, ["-m", "venv", ".venv"], { mayFail: true });
  const pip = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "-r",
    REQUIREMENTS,
  ];
  if (made === 0 && run(interpreter, pip, { mayFail: true }) === 0) {
    writeFileSync(stamp, wanted);
    return interpreter;
  }
  console.log(
    "the Python packages could not be installed: the cross-checks against them are skipped",
  );
  return undefined;
}
