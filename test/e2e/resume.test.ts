/** What runs do with one another, with signals, with the clock and the language, and in what order. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { cli, cliError, cliJson, exitOf, skipUnless, startCli, works } from "../helpers/cli.ts";
import {
  fileFolder,
  folderHashes,
  headerOf,
  leftovers,
  llama,
  type ModelFolder,
  temporaryFolder,
  writeModel,
} from "../helpers/models.ts";
import { wallSlowdown } from "../helpers/processorTime.ts";

const QUIET = ["--verify", "none", "--progress", "none"];
const folder = fileFolder();
const large = join(folder, "large");
const small = join(folder, "small");
/** When the source was made: seconds that come back exactly when they are set. */
const MADE = 1_700_000_000;
let undisturbed: Record<string, string>;

function largeModel(): ModelFolder {
  return llama({ hidden: 512, inner: 1408, layers: 8, vocab: 512, heads: 8 });
}

beforeAll(() => {
  writeModel(large, largeModel());
  utimesSync(join(large, "model.safetensors"), MADE, MADE);
  writeModel(small, llama({ layers: 2 }));
  cliJson(["prune", large, "-o", join(folder, "undisturbed"), ...QUIET]);
  undisturbed = folderHashes(join(folder, "undisturbed"));
});

function journalLines(output: string): number {
  try {
    return readFileSync(`${output}.spinfer-journal`, "utf8").split("\n").length - 2;
  } catch {
    return -1;
  }
}

/** Starts a run and waits until so many tensors are finished. */
async function startAndWait(output: string, tensors: number, args: readonly string[] = []) {
  const child = startCli(["prune", large, "-o", output, "--threads", "2", ...QUIET, ...args]);
  let over = false;
  const ended = exitOf(child).finally(() => {
    over = true;
  });
  while (!over && journalLines(output) < tensors) await sleep(1);
  return { child, ended };
}

/** An output in the shared folder, so that it is made of the same source by the same way. */
function freshOutput(name: string): string {
  const output = join(folder, name);
  for (const path of [output, ...leftovers(output).map((left) => join(folder, left))])
    rmSync(path, { recursive: true, force: true });
  return output;
}

describe("WR-03 signals", () => {
  test.each([
    ["SIGINT", 130, 0],
    ["SIGINT", 130, 20],
    ["SIGTERM", 143, 10],
    ["SIGTERM", 143, 40],
    ["SIGINT", 130, 60],
  ] as const)(
    "%s ends a run within 2 s with exit %i (after %i tensors), to be resumed",
    async (signal, exit, after) => {
      const output = freshOutput("interrupted");
      const { child, ended } = await startAndWait(output, after);
      const begun = performance.now();
      child.kill(signal);
      expect(await ended).toEqual({ status: exit, signal: null });
      expect(performance.now() - begun).toBeLessThan(2000 * wallSlowdown());
      expect(existsSync(output)).toBe(false);
      expect(existsSync(`${output}.spinfer-lock`)).toBe(false);
      const finished = Math.max(0, journalLines(output));
      const resume = finished > 0 ? ["--resume"] : [];
      const result = cliJson(["prune", large, "-o", output, ...QUIET, ...resume]);
      expect(result["resumed_tensors"]).toBe(finished);
      expect(folderHashes(output)).toEqual(undisturbed);
      expect(leftovers(output)).toEqual([]);
    },
  );
});

describe("one output, two runs", () => {
  test("WR-12 the second is refused while the first is at work, which goes on", async () => {
    const output = freshOutput("twice");
    const { child, ended } = await startAndWait(output, 1);
    child.kill("SIGSTOP");
    for (const way of [[], ["--resume"], ["--restart"], ["--force"]]) {
      const error = cliError(["prune", large, "-o", output, ...QUIET, ...way]);
      expect(error).toMatchObject({ status: 10, code: "E_LOCKED" });
      expect(error.message).toMatch(/process \d+ on .* is writing this output/);
    }
    child.kill("SIGCONT");
    expect((await ended).status).toBe(0);
    expect(folderHashes(output)).toEqual(undisturbed);
  });

  test("WR-13 a lock of a dead process is taken over, one of another machine is not", () => {
    const output = join(temporaryFolder(), "out");
    const lock = `${output}.spinfer-lock`;
    const dead = spawnSync(process.execPath, ["-e", "console.log(process.pid)"], {
      encoding: "utf8",
    });
    writeFileSync(lock, JSON.stringify({ pid: Number(dead.stdout), host: hostname() }));
    expect(cli(["prune", small, "-o", output, ...QUIET]).status).toBe(0);
    expect(leftovers(output)).toEqual([]);
    writeFileSync(lock, JSON.stringify({ pid: 1, host: "another-machine" }));
    const error = cliError(["prune", small, "-o", output, "--force", ...QUIET]);
    expect(error).toMatchObject({ status: 10, code: "E_LOCKED", path: lock });
    expect(error.hint).toContain("delete the lock file");
  });
});

describe("an unfinished run", () => {
  async function interrupted(name: string): Promise<string> {
    const output = freshOutput(name);
    const { child, ended } = await startAndWait(output, 20);
    child.kill("SIGKILL");
    await ended;
    return output;
  }

  test("is not gone over by a run that says nothing of it", async () => {
    const output = await interrupted("unsaid");
    const error = cliError(["prune", large, "-o", output, ...QUIET]);
    expect(error).toMatchObject({ status: 10, code: "E_PARTIAL_EXISTS" });
    expect(error.hint).toMatch(/--resume.*--restart/);
    const restarted = cliJson(["prune", large, "-o", output, "--restart", ...QUIET]);
    expect(restarted["resumed_tensors"]).toBe(0);
    expect(folderHashes(output)).toEqual(undisturbed);
    expect(leftovers(output)).toEqual([]);
  });

  test("WR-14 is not resumed with other options or another source", async () => {
    const output = await interrupted("changed");
    const other = cliError([
      "prune",
      large,
      "-o",
      output,
      "--sparsity",
      "0.6",
      "--resume",
      ...QUIET,
    ]);
    expect(other).toMatchObject({ status: 10, code: "E_RESUME_MISMATCH" });
    expect(other.hint).toContain("--restart");
    const file = join(large, "model.safetensors");
    utimesSync(file, MADE + 1, MADE + 1);
    const changed = cliError(["prune", large, "-o", output, "--resume", ...QUIET]);
    utimesSync(file, MADE, MADE);
    expect(changed.code).toBe("E_RESUME_MISMATCH");
    // another number of threads makes it no other run
    cliJson(["prune", large, "-o", output, "--threads", "1", "--resume", ...QUIET]);
    expect(folderHashes(output)).toEqual(undisturbed);
  });

  test("WR-15 with damage in what was finished makes only that again", async () => {
    const output = await interrupted("damaged");
    const path = join(`${output}.spinfer-partial`, "model.safetensors");
    const lines = readFileSync(`${output}.spinfer-journal`, "utf8").split("\n").slice(1, -1);
    const records = lines.map((line) => JSON.parse(line.slice(9)));
    // the data begin where the header of the finished output says
    const { dataBegin } = headerOf(join(folder, "undisturbed", "model.safetensors"));
    const fd = openSync(path, "r+");
    const { writeSync } = await import("node:fs");
    const place = dataBegin + records[3].placed[0].begin + 100;
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, place);
    writeSync(fd, Buffer.from([byte[0]! ^ 4]), 0, 1, place);
    closeSync(fd);
    const result = cliJson(["prune", large, "-o", output, "--resume", ...QUIET]);
    expect(result["resumed_tensors"]).toBe(records.length - 1);
    expect(folderHashes(output)).toEqual(undisturbed);
  });

  test("with a journal that was torn goes on from its last whole line", async () => {
    const output = await interrupted("torn");
    const journal = `${output}.spinfer-journal`;
    const lines = readFileSync(journal, "utf8").split("\n");
    writeFileSync(journal, `${lines.slice(0, 8).join("\n")}\n${lines[8]!.slice(0, 60)}`);
    const result = cliJson(["prune", large, "-o", output, "--resume", ...QUIET]);
    expect(result["resumed_tensors"]).toBe(7);
    expect(folderHashes(output)).toEqual(undisturbed);
  });

  test("PA-04 is not written through a link", async () => {
    const base = temporaryFolder();
    const output = join(base, "out");
    const elsewhere = join(base, "elsewhere");
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, `${output}.spinfer-partial`);
    const error = cliError(["prune", small, "-o", output, ...QUIET]);
    expect(error).toMatchObject({ status: 5, code: "E_PATH" });
    expect(readdirSync(elsewhere)).toEqual([]);
  });
});

describe("a source that changes", () => {
  test("WR-11 under a run is noticed: exit 3, no output", async () => {
    const base = temporaryFolder();
    const source = writeModel(join(base, "model"), largeModel());
    const output = join(base, "out");
    const child = startCli(["prune", source, "-o", output, "--threads", "1", ...QUIET]);
    const ended = exitOf(child);
    while (journalLines(output) < 3) await sleep(1);
    appendFileSync(join(source, "model.safetensors"), "!");
    expect((await ended).status).toBe(3);
    expect(existsSync(output)).toBe(false);
    const error = cliError(["prune", source, "-o", output, "--resume", ...QUIET]);
    expect(["E_ST_SIZE", "E_RESUME_MISMATCH"]).toContain(error.code);
  });
});

describe("the place of an output", () => {
  test.each([
    [
      "a folder with something in it",
      "E_OUTPUT_EXISTS",
      (out: string) => {
        mkdirSync(out);
        writeFileSync(join(out, "precious"), "data");
      },
    ],
    ["a file", "E_OUTPUT_EXISTS", (out: string) => writeFileSync(out, "data")],
  ] as const)("WR-10 %s is refused with exit 10 and stays", (_, code, make) => {
    const output = join(temporaryFolder(), "out");
    make(output);
    const error = cliError(["prune", small, "-o", output, ...QUIET]);
    expect(error).toMatchObject({ status: 10, code });
    expect(leftovers(output)).toEqual([]);
    expect(
      statSync(output).isDirectory() ? readdirSync(output) : readFileSync(output, "utf8"),
    ).toEqual(statSync(output).isDirectory() ? ["precious"] : "data");
  });

  test("WR-10 the source, a folder in it and a folder around it are refused, through links too", () => {
    const base = temporaryFolder();
    const source = writeModel(join(base, "models", "dense"), llama({ layers: 1 }));
    symlinkSync(source, join(base, "link"));
    const before = folderHashes(source);
    for (const output of [
      source,
      join(source, "out"),
      join(base, "models"),
      join(base, "link", "out"),
      join(base, "link"),
    ]) {
      const error = cliError(["prune", source, "-o", output, "--force", ...QUIET]);
      expect(error, output).toMatchObject({ status: 10, code: "E_OUTPUT_IS_INPUT" });
    }
    expect(folderHashes(source)).toEqual(before);
    expect(readdirSync(base).sort()).toEqual(["link", "models"]);
  });

  test("WR-10 a folder that is not there is refused, an empty one is used", () => {
    const base = temporaryFolder();
    const error = cliError(["prune", small, "-o", join(base, "no", "out"), ...QUIET]);
    expect(error).toMatchObject({ status: 5, code: "E_PATH" });
    mkdirSync(join(base, "empty"));
    expect(cli(["prune", small, "-o", join(base, "empty"), ...QUIET]).status).toBe(0);
    expect(readdirSync(base)).toEqual(["empty"]);
  });

  test("WR-19 a reader of the old output keeps its bytes while --force puts a new one in place", () => {
    const output = join(temporaryFolder(), "out");
    cliJson(["prune", small, "-o", output, ...QUIET]);
    const path = join(output, "model.safetensors");
    const old = readFileSync(path);
    const fd = openSync(path, "r");
    cliJson(["prune", small, "-o", output, "--sparsity", "0.75", "--force", ...QUIET]);
    const read = Buffer.alloc(old.length);
    readSync(fd, read, 0, read.length, 0);
    closeSync(fd);
    expect(read.equals(old)).toBe(true);
    expect(readFileSync(path).equals(old)).toBe(false);
    expect(leftovers(output)).toEqual([]);
  });

  test("WR-20 names in all scripts, decomposed letters and long paths work; a name too long says so", () => {
    const base = temporaryFolder();
    const deep = join(base, ...Array.from({ length: 12 }, (_, i) => `${i}${"d".repeat(200)}`));
    mkdirSync(deep, { recursive: true });
    for (const output of [
      join(base, "Modèle e\u0301 模型 🙂"),
      join(base, "x".repeat(230)),
      join(deep, "out"),
    ]) {
      expect(cli(["prune", small, "-o", output, ...QUIET]).status).toBe(0);
      expect(existsSync(join(output, "model.safetensors"))).toBe(true);
    }
    const error = cliError(["prune", small, "-o", join(base, "y".repeat(255)), ...QUIET]);
    expect(error.status).toBe(5);
    expect(error.message).toContain("ENAMETOOLONG");
  });
});

describe("the same bytes", () => {
  test("WR-18 whatever the number of threads", () => {
    for (const threads of ["1", "2", "4"]) {
      const output = freshOutput("threads");
      cliJson(["prune", large, "-o", output, "--threads", threads, ...QUIET]);
      expect(folderHashes(output), `${threads} threads`).toEqual(undisturbed);
    }
  });

  test("WR-17 whatever the time zone, the language, the clock and the umask, whose modes the files have", () => {
    const environments = [
      { TZ: "Pacific/Kiritimati", LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8" },
      { TZ: "America/Adak", LC_ALL: "C" },
    ];
    for (const env of environments) {
      const output = freshOutput("elsewhere");
      cliJson(["prune", large, "-o", output, ...QUIET], { env });
      expect(folderHashes(output), env.TZ).toEqual(undisturbed);
    }
    for (const umask of ["077", "000"]) {
      const output = freshOutput("masked");
      const under = ["sh", "-c", `umask ${umask}; exec "$@"`, "sh"];
      cliJson(["prune", large, "-o", output, ...QUIET], { under });
      expect(folderHashes(output), umask).toEqual(undisturbed);
      const allowed = 0o777 & ~Number.parseInt(umask, 8);
      expect(statSync(output).mode & 0o777).toBe(allowed);
      for (const name of readdirSync(output))
        expect(statSync(join(output, name)).mode & 0o777).toBe(allowed & 0o666);
    }
  });

  test("WR-18 with WebAssembly and without", () => {
    const output = freshOutput("plain");
    cliJson(["prune", large, "-o", output, ...QUIET], { env: { SPINFER_KERNELS: "typescript" } });
    expect(folderHashes(output)).toEqual(undisturbed);
  });
});

const noUnshare = skipUnless(
  works("unshare", ["-n", "true"]),
  "a machine without a network needs unshare -n",
);

describe.skipIf(noUnshare)("PA-10 without a network", () => {
  test("models on disk are pruned and verified; a remote name gives exit 11 and the command that fetches it", () => {
    const under = ["unshare", "-n"];
    const output = join(temporaryFolder(), "out");
    expect(cli(["prune", small, "-o", output], { under }).status).toBe(0);
    expect(cli(["verify", output, "--level", "full"], { under }).status).toBe(0);
    const error = cliError(["inspect", "some-org/some-model"], { under });
    expect(error).toMatchObject({ status: 11, code: "E_NOT_IN_CACHE" });
    expect(error.hint).toContain("hf download some-org/some-model");
  });
});
