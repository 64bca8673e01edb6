/**
 * WR-02: a run is killed at its first, second, … call of everything that changes the disk, until a
 * run gets through; each is resumed. By default every few calls, all with SPINFER_EXHAUSTIVE=1.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli, skipUnless, works } from "../helpers/cli.ts";
import { folderHashes, leftovers, llama, temporaryFolder, writeModel } from "../helpers/models.ts";

const EXHAUSTIVE = process.env["SPINFER_EXHAUSTIVE"] === "1";
const skipped = skipUnless(works("strace", ["-qq", "true"]), "kills at system calls need strace");
const OPTIONS = ["--threads", "1", "--verify", "none", "--progress", "none"];

interface Call {
  readonly name: string;
  readonly calls: string;
  /** Only on this path, relative to the output: the journal is written with calls that pipes use too. */
  readonly on?: string;
  /** Without SPINFER_EXHAUSTIVE, every so many are tried. */
  readonly stride: number;
}

const CALLS: readonly Call[] = [
  { name: "data writes", calls: "pwrite64", stride: 9 },
  { name: "journal writes", calls: "write", on: ".spinfer-journal", stride: 6 },
  { name: "syncs", calls: "fsync", stride: 4 },
  { name: "renames", calls: "rename", stride: 1 },
  { name: "truncation", calls: "ftruncate", stride: 1 },
  { name: "folders", calls: "mkdir", stride: 1 },
  { name: "removals", calls: "unlink,rmdir", stride: 3 },
];

describe.skipIf(skipped)("WR-02 SIGKILL at a system call", () => {
  for (const { name, calls, on, stride } of CALLS) {
    test(`${name}: whichever it is, the old output or the new one is there, and a resumed run ends the same`, () => {
      const folder = temporaryFolder();
      const model = writeModel(join(folder, "model"), llama({ layers: 1, hidden: 64, inner: 96 }));
      const args = ["prune", model, ...OPTIONS];
      const undisturbed = join(folder, "undisturbed");
      expect(cli([...args, "-o", undisturbed]).status).toBe(0);
      const expected = folderHashes(undisturbed);
      const output = join(folder, "out");
      let killed = 0;
      for (let n = 1; ; n += EXHAUSTIVE ? 1 : stride) {
        rmSync(output, { recursive: true, force: true });
        mkdirSync(output);
        for (const name of ["spinfer_manifest.json", "old"]) {
          writeFileSync(join(output, name), "an output to be replaced");
        }
        const under = ["strace", "-f", "-qq", "-o", "/dev/null"];
        if (on !== undefined) under.push("-P", output + on);
        under.push("-e", `trace=${calls}`, "-e", `inject=${calls}:signal=KILL:when=${n}`);
        const env = { UV_THREADPOOL_SIZE: "1" };
        const run = cli([...args, "-o", output, "--force"], { under, env });
        if (run.status === 0) {
          expect(folderHashes(output)).toEqual(expected);
          break;
        }
        killed++;
        expectOldOrNew(output, expected);
        resume([...args, "-o", output, "--force"], output);
        expect(folderHashes(output), `killed at ${name} ${n}`).toEqual(expected);
        expect(leftovers(output), `killed at ${name} ${n}`).toEqual([]);
      }
      expect(killed).toBeGreaterThan(0);
    });
  }
});

/** An output that is there is whole; only between two renames is there none. */
function expectOldOrNew(output: string, expected: Readonly<Record<string, string>>): void {
  if (!existsSync(output)) {
    expect(existsSync(`${output}.spinfer-old/old`)).toBe(true);
    expect(folderHashes(`${output}.spinfer-partial`)).toEqual(expected);
  } else if (!existsSync(join(output, "old"))) expect(folderHashes(output)).toEqual(expected);
}

function resume(args: readonly string[], output: string): void {
  const { status, stderr } = cli([...args, "--resume", "--json"]);
  if (status === 0) return;
  expect(stderr).toContain("E_NOTHING_TO_RESUME");
  if (!existsSync(join(output, "old")) && existsSync(output)) return;
  expect(cli(args).status).toBe(0);
}
