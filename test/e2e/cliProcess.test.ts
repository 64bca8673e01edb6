/** How the built command line behaves as a process: exit codes, signals, closed pipes, colours. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { errorSchema } from "../../src/cli/schemas/parts.ts";
import { cli, DIST } from "../helpers/cli.ts";
import { fileFolder, folderHashes, llama, writeModel } from "../helpers/models.ts";
import { wallSlowdown } from "../helpers/processorTime.ts";

const MAIN = join(DIST, "src/cli/main.js");
/** Gives a program a terminal (util-linux). */
const SCRIPT = "script";
const folder = fileFolder();
const options = { cwd: folder, timeoutMs: 60_000 };

beforeAll(() => {
  writeModel(join(folder, "model"), llama());
  // large enough to be interrupted in the middle
  writeModel(join(folder, "large"), llama({ hidden: 1024, inner: 4096, layers: 8, vocab: 512 }));
  writeFileSync(join(folder, "bad.yaml"), "version: 1\nprune: { sparsty: 0.5 }\n");
  writeFileSync(join(folder, "pickle.bin"), Buffer.from("80049501", "hex"));
});

describe("exit codes", () => {
  it.each([
    ["inspect model", 0, undefined],
    ["inspect model --sparsity 1", 2, "E_USAGE"],
    ["prune model -o o --sparsity 1", 2, "E_OPTION"],
    ["prune model", 2, "E_USAGE"],
    ["prune model -o o --resume --restart", 2, "E_USAGE"],
    ["prune model -o o --targets nothing_like_it", 2, "E_NO_TARGET"],
    ["prune model -o o --targets re:(", 2, "E_PATTERN"],
    ["convert model -o o", 2, "E_USAGE"],
    ["verify model --against model", 2, "E_USAGE"],
    ["recipe validate bad.yaml", 2, "E_RECIPE_UNKNOWN_KEY"],
    ["inspect nowhere", 3, "E_MODEL_NOT_FOUND"],
    ["verify nowhere", 3, "E_MODEL_NOT_FOUND"],
    ["inspect pickle.bin", 3, "E_PICKLE"],
    ["verify model", 4, "E_NO_MANIFEST"],
    ["recipe validate nowhere.yaml", 5, "E_IO"],
    ["prune model -o no/such/folder", 5, "E_PATH"],
    ["prune model -o model", 10, "E_OUTPUT_IS_INPUT"],
    ["prune large -o model", 10, "E_OUTPUT_EXISTS"],
    ["prune model -o o --resume", 10, "E_NOTHING_TO_RESUME"],
    ["recipe init -o bad.yaml", 10, "E_OUTPUT_EXISTS"],
    ["inspect some/model", 11, "E_NOT_IN_CACHE"],
    ["inspect model --limit tensors=2", 12, "E_LIMIT_TENSORS"],
  ])("spinfer %s: %i", (line, status, code) => {
    const env = { HF_HOME: join(folder, "cache") };
    const result = cli([...line.split(" "), "--json"], { ...options, env });
    expect(result.status, result.stderr).toBe(status);
    if (code === undefined) return;
    const record = errorSchema.parse(JSON.parse(result.stderr.trimEnd().split("\n").at(-1)!));
    expect(record.code).toBe(code);
    if (code !== "E_NO_MANIFEST") expect(result.stdout).toBe("");
  });

  it("has a stack only with --debug or SPINFER_DEBUG", () => {
    expect(cli(["inspect", "nowhere"], options).stderr).not.toContain("    at ");
    for (const [words, env] of [
      [["inspect", "nowhere", "--debug"], {}],
      [["inspect", "nowhere"], { SPINFER_DEBUG: "1" }],
    ] as const) {
      const { stderr } = cli(words, { ...options, env });
      // where it was thrown, not where it was told
      expect(stderr).toMatch(/SpInferError: nowhere: .*\n {4}at .*modelLocation/);
    }
  });
});

describe("recipes on the command line", () => {
  it("YA-11 flags win over the recipe, and it says so; the resolved one can be saved", () => {
    writeFileSync(join(folder, "r.yaml"), "version: 1\nmodel: model\nprune: { sparsity: 0.5 }\n");
    const words = "run r.yaml -o from-recipe --sparsity 0.25 --to dense --save-recipe saved.yaml";
    const { status, stderr } = cli(words.split(" "), options);
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("warning: --sparsity 0.25 replaces sparsity 0.5 of r.yaml\n");
    expect(stderr).toContain("warning: --to dense replaces to tile-bitmap of r.yaml\n");
    const again = cli("run saved.yaml -o from-saved".split(" "), options);
    expect(again.status, again.stderr).toBe(0);
    expect(again.stderr).not.toContain("replaces");
    const [first, second] = ["from-recipe", "from-saved"].map((name) =>
      folderHashes(join(folder, name)),
    );
    expect(second!["model.safetensors"]).toBe(first!["model.safetensors"]);
  });

  it("a recipe shows where it is wrong", () => {
    expect(cli(["recipe", "validate", "bad.yaml"], options).stderr).toContain(
      'bad.yaml:2:10: unknown key "sparsty", did you mean "sparsity"?\n' +
        "    2 | prune: { sparsty: 0.5 }\n" +
        "      |          ^\n",
    );
  });
});

describe("WR-04 a reader that goes away", () => {
  it
    .skipIf(process.platform === "win32")
    .each([
      "inspect large --tensors",
      "plan large --json",
      "plan large --format csv --tensors",
      "prune --help",
    ])("spinfer %s | head -1 ends without a word", (line) => {
    const script = `"${process.execPath}" "${MAIN}" ${line} | head -c 1`;
    const { stdout, stderr, status } = spawnSync("bash", ["-o", "pipefail", "-c", script], {
      cwd: folder,
      encoding: "utf8",
    });
    expect([stdout.length, stderr, status]).toEqual([1, "", 0]);
  });

  it.skipIf(process.platform === "win32")("does not keep prune from finishing", () => {
    const script = `"${process.execPath}" "${MAIN}" prune model -o closed 2>&- | head -c 0`;
    spawnSync("bash", ["-c", script], { cwd: folder });
    expect(cli(["verify", "closed"], options).status).toBe(0);
  });
});

describe.skipIf(process.platform === "win32")("WR-03 signals", () => {
  async function interrupt(signal: NodeJS.Signals, output: string, then?: NodeJS.Signals) {
    const child = spawn(
      process.execPath,
      [MAIN, "prune", "large", "-o", output, "--progress", "json"],
      {
        cwd: folder,
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let stderr = "";
    let sent = 0;
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
      // the first tensor is done, many are not
      if (sent === 0 && stderr.includes('"phase":"prune"')) {
        sent = performance.now();
        child.kill(signal);
        if (then !== undefined) child.kill(then);
      }
    });
    const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { status, stderr, ms: performance.now() - sent };
  }

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s ends a run with %i in time, and it can be resumed", async (signal, exit) => {
    const output = `stopped-${signal}`;
    const { status, stderr, ms } = await interrupt(signal, output);
    expect(status, stderr).toBe(exit);
    expect(ms).toBeLessThan(2000 * wallSlowdown());
    expect(stderr).toContain(`error[E_CANCELLED]: stopped by ${signal}\n`);
    expect(stderr).toContain("fix:      go on with the same command and --resume\n");
    expect(stderr).not.toContain("    at ");
    expect(existsSync(join(folder, output))).toBe(false);
    const words = ["prune", "large", "-o", output, "--resume", "--json"];
    const resumed = cli(words, options);
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(JSON.parse(resumed.stdout).result.resumed_tensors).toBeGreaterThan(0);
  });

  it("two at once, as npm and timeout pass them on, are one", async () => {
    const { status, stderr } = await interrupt("SIGINT", "stopped-twice", "SIGTERM");
    expect([130, 143], stderr).toContain(status);
    expect(stderr).toMatch(/error\[E_CANCELLED\]: stopped by SIG(?:INT|TERM)\n/);
    expect(existsSync(join(folder, "stopped-twice.spinfer-journal"))).toBe(true);
  });
});

describe("colours", () => {
  const hasScript = spawnSync(SCRIPT, ["--version"]).status === 0;

  /** Runs on a terminal of its own. */
  function onTerminal(line: string, env: Readonly<Record<string, string>>): string {
    const command = `stty cols 100; "${process.execPath}" "${MAIN}" ${line}`;
    const { stdout } = spawnSync(SCRIPT, ["-qec", command, "/dev/null"], {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: process.env["PATH"], TERM: "xterm", ...env },
    });
    return stdout;
  }

  it.skipIf(!hasScript)("are there on a terminal, and not with NO_COLOR or --no-color", () => {
    expect(onTerminal("inspect model", {})).toContain("\u001b[1mmodel\u001b[22m");
    expect(onTerminal("inspect model", { NO_COLOR: "1" })).not.toContain("\u001b");
    expect(onTerminal("inspect model --no-color", {})).not.toContain("\u001b");
    expect(onTerminal("inspect nowhere --no-color", {})).not.toContain("\u001b");
    expect(onTerminal("inspect model", { TERM: "dumb" })).not.toContain("\u001b");
  });

  it.skipIf(!hasScript)("bars are drawn on a terminal, and cleared", () => {
    const text = onTerminal("prune model -o bars", {});
    expect(text).toMatch(/prune {8}[█░]{24}/);
    expect(text.slice(text.lastIndexOf("\u001b[0J"))).toMatch(/✓.* wrote bars /);
  });

  it("are not there in a pipe", () => {
    const { stdout } = cli(["inspect", "model"], { ...options, env: { NO_COLOR: "" } });
    expect(stdout).not.toContain("\u001b");
  });
});

describe("starting", () => {
  it("loads next to nothing to print the version", () => {
    const script = `
      const begun = performance.now();
      process.argv = [process.argv[0], "spinfer", "version"];
      await import(${JSON.stringify(MAIN)});
      process.stderr.write(String(performance.now() - begun));`;
    const times = Array.from({ length: 3 }, () => {
      const { stdout, stderr } = spawnSync(
        process.execPath,
        ["--input-type=module", "-e", script],
        {
          encoding: "utf8",
        },
      );
      expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
      return Number(stderr);
    });
    expect(Math.min(...times)).toBeLessThan(150 * wallSlowdown());
  });
});
