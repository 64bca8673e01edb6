/**
 * docs/runtimes.md, as a reader would follow it: its commands and its Python in their order, and then
 * the README's Python, in a folder that looks like a clone, with the wheel installed.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { blocks, commandsOf, masked, matcher } from "../helpers/docSessions.ts";
import { describePython, python } from "../helpers/python.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLI = join(ROOT, "dist/src/cli/main.js");
const PAGE = readFileSync(join(ROOT, "docs/runtimes.md"), "utf8");
const README = readFileSync(join(ROOT, "README.md"), "utf8");

/** What another test runs. */
const RUN_ELSEWHERE = ["npm run build:python"];
const hasCompilers = ["gcc", "g++"].every((tool) => spawnSync(tool, ["--version"]).status === 0);

describePython("docs/runtimes.md", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-runtimes-"));
  const site = join(folder, ".site");
  let env: NodeJS.ProcessEnv = {};

  beforeAll(() => {
    cpSync(join(ROOT, "models"), join(folder, "models"), { recursive: true });
    symlinkSync(join(ROOT, "kernels"), join(folder, "kernels"));
    symlinkSync(join(ROOT, "integrations"), join(folder, "integrations"));
    const script = join(ROOT, "scripts/buildPython.mjs");
    env = { ...process.env, SPINFER_TEST_PYTHON: python()! };
    const built = run(process.execPath, [script, "--without-library", "--out", folder]);
    const pip = ["-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", site];
    run(python()!, [...pip, built.trim()]);
    mkdirSync(join(site, "bin"), { recursive: true });
    env = {
      ...env,
      PATH: [join(site, "bin"), dirname(python()!), process.env["PATH"]].join(delimiter),
      PYTHONPATH: site,
      PYTHONUTF8: "1",
      HF_HUB_OFFLINE: "1",
      TOKENIZERS_PARALLELISM: "false",
      NO_COLOR: "1",
      COLUMNS: "100",
    };
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function run(command: string, args: readonly string[]): string {
    const done = spawnSync(command, args, { cwd: folder, encoding: "utf8", env });
    expect(done.status, `${args.join(" ")}\n${done.stdout}${done.stderr}`).toBe(0);
    return done.stdout;
  }

  function runSession(body: string): void {
    for (const { text, expected } of commandsOf(body)) {
      if (RUN_ELSEWHERE.includes(text)) continue;
      const shell = text.replace(/^spinfer /, `"${process.execPath}" "${CLI}" `);
      const options = { cwd: folder, encoding: "utf8", shell: true, env } as const;
      const { stdout, stderr, status } = spawnSync(shell, options);
      expect(status, `${text}\n${stdout}${stderr}`).toBe(0);
      if (expected !== "") expect(`${masked(stdout + stderr)}\n`, text).toMatch(matcher(expected));
    }
  }

  const quickStarts = blocks(README).filter(({ language }) => language === "python");
  const all = [...blocks(PAGE), ...quickStarts];
  it("has quick starts of three lines in the README", () => {
    expect(quickStarts.map(({ body }) => body.trim().split("\n").length)).toEqual([3, 3, 3]);
  });
  it("has blocks of commands and of Python alone", () => {
    expect(new Set(all.map(({ language }) => language))).toEqual(new Set(["console", "python"]));
    expect(all.filter(({ language }) => language === "python").length).toBeGreaterThan(3);
  });

  it.each(all.map((block, i) => [i + 1, block.language, block] as const))(
    "block %i (%s) does what it says",
    (_, language, { body }) => {
      if (language === "console") {
        if (/^\$ g(?:cc|\+\+) /m.test(body) && !hasCompilers) return;
        runSession(body);
      } else {
        expect(run(python()!, ["-c", body])).not.toBe("");
      }
    },
  );
});
