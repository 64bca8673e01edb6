/**
 * Every command in README and docs is run here. A block of the language `console` is a session:
 * lines after "$ " are run, one after another, in a folder with the embedded model in models/demo;
 * what follows a command is its output, with times and hashes masked and "…" for lines left out.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLI = join(ROOT, "dist/src/cli/main.js");

/** Run by other tests, by CI, or too long for here; each with its reason. */
const RUN_ELSEWHERE: Readonly<Record<string, string>> = {
  "npm start": "test/e2e/start.test.ts",
  "npm test": "this is it",
  "npm run bench:convert": "a benchmark",
  "npm run bench:eval": "a benchmark",
  "npm run check": "npm test runs it",
  "npm run build": "npm test runs it",
  "npm run build:kernels": "test/native/library.test.ts",
};

interface Command {
  readonly text: string;
  readonly expected: string;
}

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
    ...inDocs("docs"),
  ];
}

function sessions(markdown: string): Command[][] {
  return [...markdown.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map(([, body = ""]) =>
    body
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const [text = "", ...output] = part.split("\n");
        return { text: text.trim(), expected: output.join("\n").trimEnd() };
      }),
  );
}

/** Times, speeds, hashes and machine facts differ from run to run. */
function masked(text: string): string {
  return text
    .replace(/\b[0-9a-f]{8,64}(?:…)?/g, "#")
    .replace(/\b\d+(?:\.\d+)? (?:ms|s)\b|\b\d+m\d\ds\b/g, "TIME")
    .replace(/[\d.]+ [kMGT]B free/g, "FREE")
    .replace(/[\d.]+ GB\/s/g, "SPEED")
    .replace(
      /^(?:hash (?:source|output)|survey|prune|convert|verify|evaluate|measure) \d+ % · .*\n/gm,
      "",
    ) // slow machines show progress
    .replace(/about \d+ [kMG]B with \d+ threads?/g, "MEMORY")
    .replace(/[ \t]+$/gm, "")
    .trimEnd();
}

function matcher(expected: string): RegExp {
  const lines = masked(expected).split("\n");
  const parts = lines.map((line) => {
    if (line.trim() === "…") return "(?:.*\\n)*?";
    return `${line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\n`;
  });
  return new RegExp(`^${parts.join("")}$`);
}

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
    const elsewhere = [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter(
      ([, language = "", body = ""]) =>
        ["", "sh", "bash", "shell", "text"].includes(language) &&
        /^\s*(?:\$ )?(?:spinfer|npm|npx|node) /m.test(body),
    );
    expect(elsewhere.map(([block]) => block)).toEqual([]);
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
