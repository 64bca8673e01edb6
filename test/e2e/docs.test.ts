/**
 * Every command in README and docs is run here, one after another, in a folder with the embedded
 * model in models/demo. docs/runtimes.md, which needs Python and compilers, has a test of its own.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocks, type Command, commandsOf, masked, matcher } from "../helpers/docSessions.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLI = join(ROOT, "dist/src/cli/main.js");

/** Run by other tests, by CI, or too long for here; each with its reason. */
const RUN_ELSEWHERE: Readonly<Record<string, string>> = {
  "npm start": "test/e2e/start.test.ts",
  "npm test": "this is it",
  "npm run bench:convert": "a benchmark",
  "npm run bench:eval": "a benchmark",
  "npm run bench:quality": "a benchmark",
  "npm run check": "npm test runs it",
  "npm run build": "npm test runs it",
  "npm run build:cpu": "test/native/cpuLibrary.test.ts",
  "npm run build:kernels": "test/native/library.test.ts",
};

function documents(): string[] {
  const inDocs = (folder: string): string[] =>
    readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return inDocs(path);
      return entry.name.endsWith(".md") ? [path] : [];
    });
  return [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "formats/tile-bitmap/SPEC.md",
    ...inDocs("docs").filter((path) => path !== "docs/runtimes.md"),
  ];
}

const sessions = (markdown: string): Command[][] =>
  blocks(markdown)
    .filter(({ language }) => language === "console")
    .map(({ body }) => commandsOf(body));

function runCommand(text: string, cwd: string): { output: string; status: number | null } {
  const script = text.replace(/(^|[|;&] *)spinfer /g, `$1"${process.execPath}" "${CLI}" `);
  const env = { ...process.env, NO_COLOR: "1", COLUMNS: "100" };
  const { stdout, stderr, status } = spawnSync(script, { cwd, encoding: "utf8", shell: true, env });
  return { output: `${stdout}${stderr}`, status };
}

describe.each(documents())("%s", (path) => {
  const markdown = readFileSync(join(ROOT, path), "utf8");
  const all = sessions(markdown);
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "spinfer-docs-"));
    cpSync(join(ROOT, "models"), join(folder, "models"), { recursive: true });
    cpSync(join(ROOT, "docs/examples"), join(folder, "docs/examples"), { recursive: true });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("has its commands in console blocks, where they are run", () => {
    const elsewhere = blocks(markdown).filter(
      ({ language, body }) =>
        ["", "sh", "bash", "shell", "text"].includes(language) &&
        /^\s*(?:\$ )?(?:spinfer|npm|npx|node) /m.test(body),
    );
    expect(elsewhere).toEqual([]);
  });

  it.each(all.map((commands, i) => [i + 1, commands] as const))(
    "session %i does what it shows",
    (_, commands) => {
      for (const { text, expected } of commands) {
        if (RUN_ELSEWHERE[text] !== undefined) continue;
        const { output, status } = runCommand(text, folder);
        if (expected !== "") expect(`${masked(output)}\n`, text).toMatch(matcher(expected));
        else expect(status, `${text}\n${output}`).toBe(0);
      }
    },
  );
});
