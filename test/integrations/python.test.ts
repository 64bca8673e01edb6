/**
 * The Python package: its own tests, its style and types, and its wheel, installed elsewhere.
 * What runs here with transformers is the version of test/requirements.txt; the oldest supported
 * one runs where SPINFER_OLDEST_TRANSFORMERS names a folder with it (CI makes one).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describePython, python, runPython } from "../helpers/python.ts";
import {
  compareVerdicts,
  type Judged,
  judgedHeaders,
  judgedMatrices,
} from "../helpers/readerInputs.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGE = join(ROOT, "integrations/python");

interface Done {
  readonly status: number | null;
  readonly output: string;
}

function inPackage(args: readonly string[], extra: Readonly<Record<string, string>> = {}): Done {
  const env = {
    ...process.env,
    PYTHONUTF8: "1",
    HF_HUB_OFFLINE: "1",
    TOKENIZERS_PARALLELISM: "false",
    ...extra,
  };
  const options = { cwd: PACKAGE, encoding: "utf8", env } as const;
  const { status, stdout, stderr } = spawnSync(python()!, args, options);
  return { status, output: stdout + stderr };
}

const succeeded = ({ status, output }: Done): void => expect(status, output).toBe(0);

describePython("the Python package", () => {
  it("passes its own tests", () => {
    const { status, output } = inPackage(["-m", "pytest", "-p", "no:cacheprovider", "-rs"]);
    process.stderr.write(output.match(/^SKIPPED .*$/gm)?.join("\n") ?? "");
    expect(status, output).toBe(0);
    expect(output).toMatch(/\b\d{3} passed/);
  });

  it("is formatted, linted and typed", () => {
    succeeded(inPackage(["-m", "ruff", "check", "--no-cache", "."]));
    succeeded(inPackage(["-m", "ruff", "format", "--no-cache", "--check", "."]));
    succeeded(inPackage(["-m", "mypy", "--cache-dir", tmpdir()]));
  });
});

describePython("the NumPy reader", () => {
  const verdicts = (kind: string, { stream }: Judged): string[] => {
    process.env["PYTHONPATH"] = join(PACKAGE, "src");
    const script = join(PACKAGE, "tests/judge.py");
    const lines = runPython(script, [kind], { input: stream }).toString();
    delete process.env["PYTHONPATH"];
    return lines.trimEnd().split("\n");
  };

  it("agrees with ours on 2,000 good and damaged matrices, in the code too", () => {
    const judged = judgedMatrices(2000, 71);
    const { disagreements, otherCode } = compareVerdicts(
      judged.verdicts,
      verdicts("matrices", judged),
    );
    expect(disagreements).toEqual([]);
    expect(otherCode).toBe(0);
    expect(new Set(judged.verdicts.filter((verdict) => verdict.startsWith("E_"))).size).toBe(9);
  });

  it("agrees with ours on 5,000 good and damaged safetensors headers", () => {
    const judged = judgedHeaders(5000, 72);
    const { disagreements, otherCode } = compareVerdicts(
      judged.verdicts,
      verdicts("headers", judged),
    );
    expect(disagreements).toEqual([]);
    // several faults in one file
    expect(otherCode / judged.verdicts.length).toBeLessThan(0.1);
  });
});

const oldest = process.env["SPINFER_OLDEST_TRANSFORMERS"] ?? "";
if (oldest === "") {
  const reason = "SPINFER_OLDEST_TRANSFORMERS names no folder with it";
  process.stderr.write(`skipped: the oldest supported transformers: ${reason}\n`);
}
describe.skipIf(oldest === "")("the oldest supported transformers", () => {
  it("is the one that is meant, and loads and refuses the same folders", () => {
    const version = "import transformers; print(transformers.__version__)";
    const path = { PYTHONPATH: oldest };
    expect(inPackage(["-c", version], path).output.trim()).toBe("4.51.3");
    const files = ["tests/test_transformers.py", "tests/test_transformers_refusals.py"];
    succeeded(inPackage(["-m", "pytest", "-p", "no:cacheprovider", ...files], path));
  });
});

describePython("the wheel", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-wheel-test-"));
  const library = join(folder, "libspinfer.so");
  beforeAll(() => writeFileSync(library, "stands for the library"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const build = (...args: string[]): string => {
    const script = join(ROOT, "scripts/buildPython.mjs");
    const done = spawnSync(process.execPath, [script, "--out", join(folder, "out"), ...args], {
      encoding: "utf8",
      env: { ...process.env, SPINFER_TEST_PYTHON: python()! },
    });
    expect(done.status, done.stderr).toBe(0);
    return done.stdout.trim();
  };

  it("is for one platform with the library inside, and for any without", () => {
    expect(build("--library", library)).toMatch(/spinfer-0\.1\.0-py3-none-(?!any)\w+\.whl$/);
    expect(build("--without-library")).toMatch(/spinfer-0\.1\.0-py3-none-any\.whl$/);
  });

  it("works where it is installed, and finds its library there", () => {
    const target = join(folder, "site");
    const wheel = build("--library", library);
    const pip = ["-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", target];
    succeeded(inPackage([...pip, wheel]));
    expect(existsSync(join(target, "bin/spinfer-unpack"))).toBe(true);
    const script =
      "import spinfer.native as n; print(n.__file__); print(n.available()); n.library()";
    const { output } = inPackage(["-c", script], { PYTHONPATH: target, SPINFER_LIBRARY: "" });
    expect(output).toContain(`${target}/spinfer/native.py\nFalse\n`);
    expect(output).toContain(`[E_GPU_LIBRARY] ${target}/spinfer/lib/libspinfer.so: not a usable`);
  });
});
