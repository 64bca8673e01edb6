import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../../src/cli/commandLine/options.ts";
import { parseCommandLine } from "../../src/cli/commandLine/parse.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { runInProcess } from "./runInProcess.ts";

function complaint(words: readonly string[]): SpInferError {
  try {
    parseCommandLine(words);
  } catch (thrown) {
    if (thrown instanceof SpInferError) return thrown;
    throw thrown;
  }
  throw new Error(`accepted: ${words.join(" ")}`);
}

describe("YA-10 a command line that makes no sense", () => {
  it.each([
    ["prun m -o out", 'there is no command "prun"', 'did you mean "prune"?'],
    ["frobnicate", 'there is no command "frobnicate"', "see spinfer --help"],
    ["m prune", 'there is no command "m"', "see spinfer --help"],
    ["recipe", "recipe needs another word", "see spinfer --help"],
    ["recipe inti", 'there is no command "recipe inti"', 'did you mean "recipe init"?'],
    ["--json", "there is no command", "see spinfer --help"],
    ["prune m --sparsty 0.5", "there is no option --sparsty of prune", "did you mean --sparsity?"],
    ["prune m --sparsty=0.5", "there is no option --sparsty of prune", "did you mean --sparsity?"],
    ["--jsno inspect m", "there is no option --jsno", "did you mean --json?"],
    ["prune m --no-colour", "there is no option --no-colour of prune", "did you mean --no-color?"],
    ["prune m -x", "there is no option -x of prune", "see spinfer prune --help"],
    ["prune m -oout", "there is no option -oout of prune", "write -o out"],
    ["prune m --no-recipe", "there is no option --no-recipe of prune", "did you mean --recipe?"],
    [
      "inspect m --sparsity 0.5",
      "there is no option --sparsity of inspect",
      "--sparsity belongs to plan, prune, calibrate, sweep, run, bench kernels, tune, recipe show",
    ],
    ["prune -o out", "prune needs a model", "see spinfer prune --help"],
    ["verify", "verify needs a checkpoint", "see spinfer verify --help"],
    ["completion", "completion needs a shell", "see spinfer completion --help"],
    [
      "inspect --tensors m",
      "inspect needs a model",
      '--tensors took "m" as its pattern: put MODEL before it',
    ],
    ["prune m extra -o out", '"extra" is one argument too many', "see spinfer prune --help"],
    ["prune m -o", "--output has no value", undefined],
    ["prune m --output= --force", "--output has no value", undefined],
    ["prune m --recipe --force", "--recipe has no value", undefined],
    ["prune m --targets", "--targets has no value", undefined],
    ["prune m --targets a --targets", "--targets has no value", undefined],
    ["prune m -o a -o b", '--output is given 2 times: "a" and "b"', undefined],
    [
      "prune m --force=yes",
      "--force=yes: --force takes no value",
      "write --force, or leave it out",
    ],
    [
      "prune m --to tile-bitmp",
      '--to: "tile-bitmp" is not accepted',
      'did you mean "tile-bitmap"?',
    ],
    ["verify out --level deep", '--level: "deep" is not accepted', undefined],
    ["completion powershell", 'shell: "powershell" is not accepted', undefined],
    [
      "--sparsity 0.5 prune m",
      "there is no option --sparsity",
      "write --sparsity after the command",
    ],
    [
      "inspect m --json --format csv",
      "--json and --format csv ask for different forms",
      "give one of them",
    ],
  ])("spinfer %s: %s", (text, message, hint) => {
    const { code, exit, message: said, detail } = complaint(text.split(" "));
    expect({ code, exit, said, hint: detail.hint }).toEqual({
      code: "E_USAGE",
      exit: 2,
      said: message,
      hint,
    });
  });

  it("names what is accepted", () => {
    expect(complaint(["prune", "m", "--to", "x"]).detail.expected).toBe("tile-bitmap, dense");
    expect(complaint(["prune", "m", "--what"]).detail.expected).toBe(
      "spinfer prune MODEL -o DIR [options]",
    );
    expect(complaint(["prune", "m", "--sparsity"]).detail.expected).toMatch(/^--sparsity S: /);
  });

  it("prints one error on stderr and nothing on stdout", async () => {
    const { exit, stdout, stderr } = await runInProcess(["prune", "m", "--sparsty", "0.5"]);
    expect(exit).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toBe(
      "error[E_USAGE]: there is no option --sparsty of prune\n" +
        "  expected: spinfer prune MODEL -o DIR [options]\n" +
        "  fix:      did you mean --sparsity?\n" +
        "  docs:     spinfer help E_USAGE                                    (exit 2)\n",
    );
  });

  it("prints one JSON line where JSON was asked for, wherever that was said", async () => {
    for (const words of [
      ["--json", "prun"],
      ["prun", "--format", "json"],
      ["prun", "--format=jsonl"],
    ]) {
      const { stdout, stderr } = await runInProcess(words);
      expect(stdout).toBe("");
      expect(JSON.parse(stderr)).toMatchObject({ schema: "spinfer.error/1", code: "E_USAGE" });
    }
  });

  it.each([
    ["abc", 'sparsity is the text "abc", expected a fraction from 0 up to but not including 1'],
    ["50", "sparsity is 50, expected a fraction from 0 up to but not including 1, write 0.5"],
    [
      "50%",
      'sparsity is the text "50%", expected a fraction from 0 up to but not including 1, write 0.5',
    ],
    ["1", "sparsity is 1, expected a fraction from 0 up to but not including 1"],
    ["-0.5", "sparsity is -0.5, expected a fraction from 0 up to but not including 1"],
    ["NaN", 'sparsity is the text "NaN", expected a fraction from 0 up to but not including 1'],
  ])("YA-05 --sparsity %s: %s", async (value, message) => {
    const words = ["prune", "models/demo", "-o", "never", "--sparsity", value, "--json"];
    const { exit, stdout, stderr } = await runInProcess(words);
    expect(stdout).toBe("");
    expect(exit).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({
      code: "E_OPTION",
      message: `--sparsity: ${message}`,
    });
  });

  it.each([
    ["--threads", "0"],
    ["--threads", "two"],
    ["--threads", "1.5"],
    ["--top", "-1"],
    ["--limit", "tensors=many"],
    ["--limit", "tensor=5"],
  ])("%s %s is an option that is not accepted", async (option, value) => {
    const { exit, stderr } = await runInProcess(["inspect", "models/demo", option, value]);
    expect(exit).toBe(2);
    expect(stderr).toMatch(new RegExp(`^error\\[E_OPTION\\]: ${option}.*not (?:accepted|a limit)`));
  });
});

describe("a command line that makes sense", () => {
  it("takes global options before and after the command", () => {
    for (const text of [
      "--threads 2 inspect m",
      "inspect m --threads 2",
      "inspect --threads 2 m",
    ]) {
      const { command, arguments: given } = parseCommandLine(text.split(" "));
      expect(command?.name).toBe("inspect");
      expect(given.text("threads")).toBe("2");
      expect(given.text("model")).toBe("m");
    }
  });

  it("gathers lists, and leaves what was not given out", () => {
    const words = "prune m -o out --targets q_proj --targets *.mlp.* --force".split(" ");
    const { arguments: given } = parseCommandLine(words);
    expect(given.list("targets")).toEqual(["q_proj", "*.mlp.*"]);
    expect(given.list("ignore")).toBeUndefined();
    expect(given.flag("force")).toBe(true);
    expect(given.flag("resume")).toBe(false);
  });

  it("keeps words that look like numbers as they were written", () => {
    const { arguments: given } = parseCommandLine(["inspect", "007", "--tensors", "1e3"]);
    expect(given.text("model")).toBe("007");
    expect(given.text("tensors")).toBe("1e3");
  });

  it("takes everything after -- as it is", () => {
    const { arguments: given } = parseCommandLine(["inspect", "--layers", "--", "-odd-name"]);
    expect(given.text("model")).toBe("-odd-name");
    expect(given.flag("layers")).toBe(true);
  });

  it("takes a value that begins with dashes after =", () => {
    const { arguments: given } = parseCommandLine(["prune", "m", "--output=--odd"]);
    expect(given.text("output")).toBe("--odd");
  });

  it("does not ask for arguments when help is wanted", async () => {
    const { exit, stdout, stderr } = await runInProcess(["prune", "-h"]);
    expect([exit, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Usage: spinfer prune MODEL -o DIR \[options\]\n/);
    expect(stdout).toContain("--max-shard-size SIZE");
  });

  it("shows the help of all commands that begin with a word", async () => {
    const { exit, stdout } = await runInProcess(["recipe", "--help"]);
    expect(exit).toBe(0);
    for (const name of ["init", "validate", "show"])
      expect(stdout).toContain(`Usage: spinfer recipe ${name} `);
    expect((await runInProcess(["help", "recipe"])).stdout).toBe(stdout);
  });

  it("shows the commands when there is nothing to do", async () => {
    const { exit, stdout } = await runInProcess([]);
    expect(exit).toBe(0);
    for (const { name, summary } of COMMANDS) {
      expect(stdout).toContain(`  ${name.padEnd(15)}  ${summary}\n`);
    }
  });
});

describe("any words at all", () => {
  const known = COMMANDS.flatMap(({ name, options }) => [
    ...name.split(" "),
    ...[...options, ...GLOBAL_OPTIONS].flatMap(({ name: option, alias }) => [
      `--${option}`,
      `--${option}=x`,
      `--no-${option}`,
      ...(alias === undefined ? [] : [`-${alias}`]),
    ]),
  ]);
  const odd = [
    "--",
    "-",
    "",
    "--=",
    "-=",
    "--__proto__=1",
    "--constructor.prototype",
    "--$0",
    "--_",
  ];
  const word = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...known) },
    { weight: 2, arbitrary: fc.constantFrom(...odd, "m", "0.5", "true", "dense") },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  );

  it("are understood or refused with E_USAGE", () => {
    let understood = 0;
    fc.assert(
      fc.property(fc.array(word, { maxLength: 7 }), (words) => {
        try {
          parseCommandLine(words);
          understood++;
        } catch (thrown) {
          if (!(thrown instanceof SpInferError)) throw thrown;
          expect(thrown.code).toBe("E_USAGE");
        }
      }),
      { numRuns: 3000 },
    );
    expect(understood).toBeGreaterThan(50);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });
});
