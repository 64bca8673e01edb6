import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { COMMAND_WORDS, COMMANDS } from "../../src/cli/commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../../src/cli/commandLine/options.ts";
import { bashScript } from "../../src/cli/completion/bash.ts";
import { fishScript } from "../../src/cli/completion/fish.ts";
import { zshScript } from "../../src/cli/completion/zsh.ts";
import { skipUnless } from "../helpers/cli.ts";
import { temporaryFolder } from "../helpers/models.ts";

const FISH = "fish";

/** Whether to skip what needs the shell. */
function lacks(shell: string): boolean {
  return skipUnless(spawnSync(shell, ["--version"]).status === 0, `${shell} is not installed`);
}

/** What bash would offer for the last word. */
function offered(...words: string[]): string[] {
  const list = words.map((word) => `'${word}'`).join(" ");
  const script = `${bashScript()}
COMP_WORDS=(spinfer ${list}); COMP_CWORD=${words.length}
_spinfer; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync("bash", ["--norc", "-c", script], {
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.split("\n").filter((line) => line !== "");
}

describe.skipIf(lacks("bash"))("completion in bash", () => {
  it("offers commands", () => {
    expect(offered("")).toEqual(COMMAND_WORDS);
    expect(offered("pr")).toEqual(["prune"]);
    expect(offered("--json", "ver")).toEqual(["verify", "version"]);
  });

  it("offers the options of the command and of all", () => {
    expect(offered("prune", "--spa")).toEqual(["--sparsity"]);
    expect(offered("verify", "--spa")).toEqual([]);
    expect(offered("verify", "m", "--le")).toEqual(["--level"]);
    expect(offered("prune", "--no")).toEqual(["--no-color"]);
  });

  it("offers the words of a value", () => {
    expect(offered("prune", "m", "--to", "")).toEqual(["tile-bitmap", "dense"]);
    expect(offered("verify", "m", "--level", "s")).toEqual(["structure"]);
    expect(offered("inspect", "m", "--format", "js")).toEqual(["json", "jsonl"]);
    expect(offered("completion", "f")).toEqual(["fish"]);
  });

  it("offers nothing of its own where a number or a path belongs", () => {
    expect(offered("prune", "m", "--sparsity", "")).toEqual([]);
    expect(offered("prune", "m", "-o", "")).toEqual([]);
  });

  it("knows commands of two words", () => {
    expect(offered("recipe", "")).toEqual(["init", "import", "validate", "show"]);
    expect(offered("recipe", "init", "ma")).toEqual(["magnitude-50", "magnitude-60"]);
    expect(offered("recipe", "init", "--fo")).toEqual(["--force", "--format", "--follow-symlinks"]);
  });
});

describe.each([
  ["zsh", zshScript()],
  ["fish", fishScript()],
])("completion in %s", (shell, script) => {
  it.skipIf(lacks(shell))("is a script that the shell accepts", () => {
    const path = join(temporaryFolder(), "script");
    writeFileSync(path, script);
    const { status, stderr } = spawnSync(shell, ["-n", path], { encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
  });

  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    "names %s and its options with their words",
    (name, { options, positionals }) => {
      for (const word of name.split(" ")) expect(script).toContain(word);
      for (const option of [...options, ...GLOBAL_OPTIONS])
        expect(script).toContain(shell === "fish" ? `-l ${option.name}` : `--${option.name}`);
      for (const { choices = [] } of [...options, ...positionals])
        expect(script).toContain(choices.join(" "));
    },
  );

  it("closes what it opens", () => {
    const bare = script.replaceAll("'\\''", "").replace(/'(?:[^'\\]|\\.)*'/g, "");
    expect(bare).not.toContain("'");
  });
});

describe.skipIf(lacks(FISH))("completion in fish", () => {
  it.each([
    ["spinfer pru", ["prune"]],
    ["spinfer recipe ", ["import", "init", "show", "validate"]],
    ["spinfer recipe init t", ["two-four"]],
    ["spinfer prune m --to ", ["dense", "tile-bitmap"]],
    ["spinfer verify m --lev", ["--level"]],
    ["spinfer verify m --spars", []],
  ])("%s<TAB>", (line, expected) => {
    const command = `${fishScript()}\ncomplete -C '${line}'`;
    const { stdout, stderr } = spawnSync(FISH, ["--no-config", "-c", command], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    const words = stdout.split("\n").map((row) => row.split("\t")[0]);
    expect(words.filter((word) => word !== "")).toEqual(expected);
  });
});
