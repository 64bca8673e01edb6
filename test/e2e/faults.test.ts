/**
 * Disks that are full, broken, read-only or forbidden. Whatever happens: exit code 5 and a reason,
 * no torn output, the source as it was, and a run that can be resumed once the fault is gone.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { verifyCheckpoint } from "../../src/pipeline/verify.ts";
import { cli, cliError, cliJson, skipUnless, works } from "../helpers/cli.ts";
import {
  fileFolder,
  folderHashes,
  leftovers,
  llama,
  temporaryFolder,
  writeModel,
} from "../helpers/models.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const folder = fileFolder();
const model = join(folder, "model");
const undisturbed = join(folder, "undisturbed");
const PRUNE = ["prune", model, "--threads", "2", "--verify", "none", "--progress", "none"];

let expected: Record<string, string>;
let source: Record<string, string>;

beforeAll(() => {
  writeModel(model, llama({ layers: 3, hidden: 192, inner: 512, heads: 4 }));
  source = folderHashes(model);
  cliJson([...PRUNE, "-o", undisturbed]);
  expected = contentHashes(undisturbed);
});

/** Hashes of all but the manifest, which says where the source lies as seen from the output. */
function contentHashes(output: string): Record<string, string> {
  const { "spinfer_manifest.json": _, ...others } = folderHashes(output);
  return others;
}

afterAll(() => expect(folderHashes(model), "the source is untouched").toEqual(source));

/** After a failed run: nothing in place, and no lock. */
function expectNoOutput(output: string): void {
  expect(existsSync(output)).toBe(false);
  expect(leftovers(output).filter((name) => !/-(?:partial|journal)$/.test(name))).toEqual([]);
}

/** What a run says that finds an unfinished one, or none. */
async function finish(output: string): Promise<void> {
  const resume = existsSync(`${output}.spinfer-partial`) ? ["--resume"] : [];
  cliJson([...PRUNE, "-o", output, ...resume]);
  expect(contentHashes(output)).toEqual(expected);
  expect((await verifyCheckpoint(output, { level: "full", threads: 0 })).findings).toEqual([]);
  expect(leftovers(output)).toEqual([]);
}

function mount(at: string, ...args: string[]): boolean {
  mkdirSync(at, { recursive: true });
  if (spawnSync("mount", [...args, at], { stdio: "ignore" }).status !== 0) return false;
  onTestFinished(() => {
    spawnSync("umount", ["-l", at]);
  });
  return true;
}

function canMount(): boolean {
  const at = join(folder, "probe");
  mkdirSync(at);
  const done = works("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", at]);
  if (done) spawnSync("umount", [at]);
  return done;
}

const isRoot = process.getuid?.() === 0;
const noMount = skipUnless(canMount(), "full and read-only disks need the right to mount");
const noStrace = skipUnless(works("strace", ["-qq", "true"]), "broken disks need strace");
const noSetpriv = skipUnless(
  isRoot && works("setpriv", ["--version"]),
  "EACCES needs setpriv, as root",
);
const noPrlimit = skipUnless(works("prlimit", ["--version"]), "EFBIG needs prlimit");

describe.skipIf(noMount)("a full disk", () => {
  test("WR-06 is refused before the first write, with the bytes that are needed and free", () => {
    const disk = join(temporaryFolder(), "disk");
    mount(disk, "-t", "tmpfs", "-o", "size=200k", "tmpfs");
    const error = cliError([...PRUNE, "-o", join(disk, "out")]);
    expect(error).toMatchObject({ status: 5, code: "E_NO_SPACE" });
    expect(error.message).toMatch(/needs 1\.\d+ MB, \d+ kB are free/);
    expect(readdirSync(disk)).toEqual([]);
  });

  test("WR-06 what calibrating writes on the way is counted", () => {
    const disk = join(temporaryFolder(), "disk");
    mount(disk, "-t", "tmpfs", "-o", "size=6m", "tmpfs");
    const text = join(DEMO, "heldout.txt");
    const pruning = ["prune", DEMO, "-o", join(disk, "out"), "--sparsity", "0.5"];
    const calibrating = [...pruning, "--calib", text, "--nsamples", "2", "--seqlen", "64"];
    const error = cliError(calibrating);
    expect(error).toMatchObject({ status: 5, code: "E_NO_SPACE" });
    // 3.9 MB of output, 5.5 MB of weights that are pruned on the way, 0.3 MB of hidden states
    expect(error.message).toMatch(/output and calibration need 9\.\d+ MB, 6\.\d+ MB are free/);
    expect(readdirSync(disk)).toEqual([]);
    expect(cli([...pruning, "--progress", "none"]).status).toBe(0);
  });

  test.each([8, 40, 300, 900, 1400])(
    "WR-05 a disk of %i kB that fills up: exit 5, no output, and with more space the run goes on",
    async (size) => {
      const disk = join(temporaryFolder(), "disk");
      mount(disk, "-t", "tmpfs", "-o", `size=${size}k`, "tmpfs");
      const output = join(disk, "out");
      const error = cliError([...PRUNE, "-o", output, "--skip-space-check"]);
      expect(error).toMatchObject({ status: 5, code: "E_NO_SPACE" });
      expect(error.hint).toMatch(/free some space/);
      expectNoOutput(output);
      expect(works("mount", ["-o", "remount,size=64m", disk])).toBe(true);
      await finish(output);
    },
  );

  test("WR-09 EROFS: a read-only disk is named, with exit 5", () => {
    const disk = temporaryFolder();
    mount(disk, "--bind", disk);
    expect(works("mount", ["-o", "remount,ro,bind", disk])).toBe(true);
    const error = cliError([...PRUNE, "-o", join(disk, "out")]);
    expect(error).toMatchObject({ status: 5, code: "E_IO" });
    expect(error.message).toContain("EROFS");
    expect(error.path).toContain(disk);
    expect(readdirSync(disk)).toEqual([]);
  });
});

describe.skipIf(noStrace)("a broken disk", () => {
  /** Every system call of the kind fails from the n-th of each thread on. */
  function failing(calls: string, error: string, n: number): readonly string[] {
    const inject = `inject=${calls}:error=${error}:when=${n}+`;
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${calls}`, "-e", inject];
  }

  test.each([
    ["pwrite64", "ENOSPC", 1, "E_NO_SPACE"],
    ["pwrite64", "ENOSPC", 9, "E_NO_SPACE"],
    ["pwrite64", "EDQUOT", 3, "E_NO_SPACE"],
    ["pwrite64", "EIO", 2, "E_IO"],
    ["fsync", "EIO", 1, "E_IO"],
    ["fsync", "EIO", 3, "E_IO"],
    ["ftruncate", "EIO", 1, "E_IO"],
    ["rename", "EIO", 1, "E_IO"],
    ["mkdir", "ENOSPC", 1, "E_NO_SPACE"],
  ])(
    "WR-05 WR-08 %s failing with %s from call %i on: %s, and resumable when it is over",
    async (calls, errno, n, code) => {
      const output = join(temporaryFolder(), "out");
      const under = failing(calls, errno, n);
      const error = cliError([...PRUNE, "-o", output], { under, env: { UV_THREADPOOL_SIZE: "1" } });
      expect(error).toMatchObject({ status: 5, code });
      expect(error.message).toContain(errno);
      expectNoOutput(output);
      await finish(output);
    },
  );

  test("WR-08 after a failed fsync the file is gone: what cannot be trusted is made again", () => {
    const output = join(temporaryFolder(), "out");
    const under = failing("fsync", "EIO", 1);
    cliError([...PRUNE, "-o", output], { under, env: { UV_THREADPOOL_SIZE: "1" } });
    expect(readdirSync(`${output}.spinfer-partial`)).toEqual([]);
    const resumed = cliJson([...PRUNE, "-o", output, "--resume"]);
    expect(resumed["resumed_tensors"]).toBe(0);
    expect(contentHashes(output)).toEqual(expected);
  });

  test("a read error in the source is reported with the file", () => {
    const output = join(temporaryFolder(), "out");
    const path = join(model, "model.safetensors");
    const inject = "inject=pread64:error=EIO:when=6+";
    const under = [
      "strace",
      "-f",
      "-qq",
      "-o",
      "/dev/null",
      "-P",
      path,
      "-e",
      "trace=pread64",
      "-e",
      inject,
    ];
    const error = cliError([...PRUNE, "-o", output], { under });
    expect(error).toMatchObject({ status: 5, code: "E_IO", path });
    expectNoOutput(output);
  });

  test("WR-07 a disk that takes no bytes and says nothing is an error, not a loop", () => {
    const output = join(temporaryFolder(), "out");
    const inject = "inject=pwrite64:retval=0:when=4+";
    const under = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject];
    const error = cliError([...PRUNE, "-o", output], { under, timeoutMs: 30_000 });
    expect(error).toMatchObject({ status: 5, code: "E_IO" });
    expect(error.message).toContain("nothing was written");
    expectNoOutput(output);
  });

  test("WR-16 what is renamed was synced before, and the folder after", () => {
    const base = temporaryFolder();
    const output = join(base, "out");
    const trace = join(base, "trace");
    const calls = "pwrite64,ftruncate,fsync,rename";
    const under = ["strace", "-f", "-y", "-qq", "-o", trace, "-e", `trace=${calls}`];
    expect(cli([...PRUNE, "-o", output], { under }).status).toBe(0);
    expect(unsyncedAtRename(spawnSync("cat", [trace], { encoding: "utf8" }).stdout, base)).toEqual(
      [],
    );
  });
});

/** What a trace shows to be written but not synced when a folder is renamed, or its parent after. */
function unsyncedAtRename(trace: string, base: string): string[] {
  const dirty = new Set<string>();
  let renamed = false;
  for (const line of trace.split("\n")) {
    const call = /^\d+\s+(\w+)\(\d*<?([^>,)]*)/.exec(line);
    if (call === null) continue;
    const [, name, path = ""] = call;
    if (name === "pwrite64" || name === "ftruncate") dirty.add(path);
    if (name === "fsync") dirty.delete(path);
    if (name !== "rename") continue;
    renamed = true;
    if (dirty.size > 0) return [...dirty];
    dirty.add(base);
  }
  return renamed ? [...dirty] : ["nothing was renamed"];
}

describe.skipIf(noSetpriv)("WR-09 EACCES", () => {
  test("a folder that may not be written is named, with exit 5", () => {
    const base = temporaryFolder();
    chmodSync(base, 0o555);
    for (const path of [folder, model]) chmodSync(path, 0o755);
    const under = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const error = cliError([...PRUNE, "-o", join(base, "out")], { under });
    expect(error).toMatchObject({ status: 5, code: "E_IO" });
    expect(error.message).toContain("EACCES");
    expect(error.hint).toContain("permissions");
    expect(readdirSync(base)).toEqual([]);
  });

  test("a source file that may not be read is named, with exit 5", () => {
    const base = temporaryFolder();
    chmodSync(base, 0o755);
    const locked = writeModel(join(base, "model"), llama({ layers: 1 }));
    chmodSync(join(locked, "model.safetensors"), 0o000);
    const under = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const error = cliError(["inspect", locked], { under });
    expect(error).toMatchObject({ status: 5, code: "E_IO" });
    expect(error.path).toContain("model.safetensors");
  });
});

describe.skipIf(noPrlimit)("WR-09 EFBIG", () => {
  test("a limit on the size of files is named, with exit 5, and the run goes on without it", async () => {
    const output = join(temporaryFolder(), "out");
    const error = cliError([...PRUNE, "-o", output], { under: ["prlimit", "--fsize=600000"] });
    expect(error).toMatchObject({ status: 5, code: "E_IO" });
    expect(error.message).toContain("EFBIG");
    expectNoOutput(output);
    await finish(output);
  });
});

describe("an output that is in the way", () => {
  test("stays as it is when the run that was to replace it fails", () => {
    const output = join(temporaryFolder(), "out");
    mkdirSync(output);
    writeFileSync(join(output, "spinfer_manifest.json"), "data");
    if (noStrace) return;
    const under = [
      "strace",
      "-f",
      "-qq",
      "-o",
      "/dev/null",
      "-e",
      "trace=fsync",
      "-e",
      "inject=fsync:error=EIO:when=2+",
    ];
    expect(cliError([...PRUNE, "-o", output, "--force"], { under }).code).toBe("E_IO");
    expect(readdirSync(output)).toEqual(["spinfer_manifest.json"]);
  });
});
