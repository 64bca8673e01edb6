/**
 * Cross-checks against Python. The interpreter is that of the project's test virtual environment:
 * SPINFER_TEST_PYTHON, else `.venv` in the repository. Without it the checks are skipped with the
 * reason, unless SPINFER_REQUIRE names "python": then they fail.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, test } from "vitest";
import { isDemanded } from "./demanded.ts";

const LARGEST_OUTPUT = 1024 ** 3;

const venvPython = process.platform === "win32" ? "Scripts/python.exe" : "bin/python";
const ownVenv = fileURLToPath(new URL(`../../.venv/${venvPython}`, import.meta.url));

/** Path of the interpreter, or undefined when there is none. */
export function python(): string | undefined {
  const chosen = process.env["SPINFER_TEST_PYTHON"];
  if (chosen !== undefined && chosen !== "") return existsSync(chosen) ? chosen : undefined;
  return existsSync(ownVenv) ? ownVenv : undefined;
}

function missingReason(): string {
  const chosen = process.env["SPINFER_TEST_PYTHON"];
  return chosen !== undefined && chosen !== ""
    ? `SPINFER_TEST_PYTHON=${chosen} does not exist`
    : "no Python test environment (.venv); `npm test` makes one where python3 is installed";
}

/** `describe` for tests that need Python. */
export function describePython(name: string, define: () => void): void {
  if (python() !== undefined) {
    describe(name, define);
    return;
  }
  const reason = missingReason();
  if (isDemanded("python")) {
    describe(name, () => {
      test("has the Python that SPINFER_REQUIRE demands", () => {
        throw new Error(reason);
      });
    });
    return;
  }
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
  describe.skip(`${name} (skipped: ${reason})`, define);
}

export interface PythonOptions {
  /** Bytes or text for the script's standard input. */
  readonly input?: Uint8Array | string;
}

/**
 * Runs a script (its text, or the path of a `.py` file) and returns its standard output.
 * Throws with its standard error when it fails.
 */
export function runPython(
  script: string,
  args: readonly string[] = [],
  options: PythonOptions = {},
): Buffer {
  const interpreter = python();
  if (interpreter === undefined) throw new Error(missingReason());
  const isFile = script.endsWith(".py") && !script.includes("\n");
  const run = spawnSync(interpreter, [...(isFile ? [script] : ["-c", script]), ...args], {
    input: options.input ?? "",
    maxBuffer: LARGEST_OUTPUT,
    env: { ...process.env, PYTHONUTF8: "1", HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
  });
  if (run.error !== undefined) throw run.error;
  if (run.status !== 0) {
    const how = run.status === null ? `signal ${run.signal}` : `status ${run.status}`;
    throw new Error(`Python ended with ${how}:\n${run.stderr.toString("utf8")}`);
  }
  return run.stdout;
}
