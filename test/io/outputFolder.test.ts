/** The folder that appears whole or not at all, its lock and its journal, in one process. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { writeFileAtomic, writeFully } from "../../src/io/atomicFile.ts";
import { openJournal, readJournal } from "../../src/io/journal.ts";
import { acquireLock } from "../../src/io/lock.ts";
import { checkOutput, OutputFolder, type OutputRequest } from "../../src/io/outputFolder.ts";
import { leftovers, temporaryFolder } from "../helpers/models.ts";
import { refusal } from "../helpers/safetensorsFile.ts";

function request(path: string, changes: Partial<OutputRequest> = {}): OutputRequest {
  return { path, inputs: [], force: false, unfinished: "refuse", fingerprint: "run", ...changes };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("an output folder", () => {
  test("is not there before it is published, and alone afterwards", async () => {
    const path = join(temporaryFolder(), "out");
    const output = OutputFolder.open(request(path));
    await output.writeFile("a", bytes("A"));
    await output.writeFile("stray", bytes("?"));
    output.record({ done: "a" });
    expect(existsSync(path)).toBe(false);
    await output.publish(["a"]);
    expect(readdirSync(path)).toEqual(["a"]);
    expect(leftovers(path)).toEqual([]);
  });

  test("is resumed with its records and files by a run of the same fingerprint only", async () => {
    const path = join(temporaryFolder(), "out");
    const first = OutputFolder.open(request(path));
    await first.writeFile("a", bytes("A"));
    first.record({ done: "a" });
    first.suspend(true);
    expect((await refusal(() => OutputFolder.open(request(path)))).code).toBe("E_PARTIAL_EXISTS");
    const other = request(path, { unfinished: "resume", fingerprint: "other" });
    expect((await refusal(() => OutputFolder.open(other))).code).toBe("E_RESUME_MISMATCH");
    const second = OutputFolder.open(request(path, { unfinished: "resume" }));
    expect(second.finished).toEqual([{ done: "a" }]);
    second.record({ done: "b" });
    second.suspend(true);
    const third = OutputFolder.open(request(path, { unfinished: "resume" }));
    expect(third.finished).toEqual([{ done: "a" }, { done: "b" }]);
    await third.publish(["a"]);
    expect(readFileSync(join(path, "a"), "utf8")).toBe("A");
  });

  test("leaves nothing when a run ends before it finished anything", () => {
    const path = join(temporaryFolder(), "out");
    OutputFolder.open(request(path)).suspend(true);
    expect(leftovers(path)).toEqual([]);
  });

  test("that was killed between its two renames comes back, then is replaced", async () => {
    const path = join(temporaryFolder(), "out");
    mkdirSync(path);
    writeFileSync(join(path, "spinfer_manifest.json"), "");
    const first = OutputFolder.open(request(path, { force: true }));
    first.record({});
    first.suspend(true);
    renameSync(path, `${path}.spinfer-old`);
    const second = OutputFolder.open(request(path, { force: true, unfinished: "resume" }));
    expect(readdirSync(path)).toEqual(["spinfer_manifest.json"]);
    await second.publish([]);
    expect(readdirSync(path)).toEqual([]);
    expect(leftovers(path)).toEqual([]);
  });

  test("that was killed after its last rename is complete: what is left beside it goes", async () => {
    const path = join(temporaryFolder(), "out");
    mkdirSync(path);
    writeFileSync(join(path, "new"), "");
    mkdirSync(`${path}.spinfer-old`);
    writeFileSync(`${path}.spinfer-journal`, "");
    const error = await refusal(() => OutputFolder.open(request(path, { unfinished: "resume" })));
    expect(error.code).toBe("E_NOTHING_TO_RESUME");
    expect(error.detail.hint).toBe("nothing is left to do");
    expect(leftovers(path)).toEqual([]);
  });

  test("WR-10 may not be the input, in it or around it; links are seen through", () => {
    const folder = temporaryFolder();
    const input = join(folder, "model");
    mkdirSync(input);
    symlinkSync(input, join(folder, "link"));
    const check =
      (path: string, from = input) =>
      () =>
        checkOutput({ path, inputs: [from], force: true });
    for (const path of [
      input,
      join(input, "out"),
      folder,
      join(folder, "link"),
      join(folder, "link", "x"),
    ])
      expect(check(path), path).toThrow(expect.objectContaining({ code: "E_OUTPUT_IS_INPUT" }));
    for (const path of [`${input}-out`, join(folder, "..model")])
      expect(check(path), path).not.toThrow();
    // a file that is the input does not forbid its folder
    const file = join(input, "model.gguf");
    writeFileSync(file, "");
    expect(check(join(input, "out"), file)).not.toThrow();
    expect(check(input, file)).toThrow(expect.objectContaining({ code: "E_OUTPUT_IS_INPUT" }));
  });
});

describe("WR-13 a lock", () => {
  const owner = (pid: number, host = hostname()): string => JSON.stringify({ pid, host });
  /** A process id that no process has. */
  const dead = 2 ** 22 + 7;

  test("is held once, and free after it is released", async () => {
    const path = join(temporaryFolder(), "lock");
    const lock = acquireLock(path);
    expect((await refusal(() => acquireLock(path))).code).toBe("E_LOCKED");
    lock.release();
    acquireLock(path).release();
    expect(existsSync(path)).toBe(false);
  });

  test("of a dead process is taken over", () => {
    const path = join(temporaryFolder(), "lock");
    writeFileSync(path, owner(dead));
    const lock = acquireLock(path);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ pid: process.pid, host: hostname() });
    lock.release();
    expect(leftovers(path)).toEqual([]);
  });

  test("with our own process id that we do not hold is an old one: ids come again in containers", () => {
    const path = join(temporaryFolder(), "lock");
    writeFileSync(path, owner(process.pid));
    acquireLock(path).release();
  });

  test("of a living process, or of another machine, stands", async () => {
    const path = join(temporaryFolder(), "lock");
    for (const content of [owner(process.ppid), owner(dead, "another-machine")]) {
      writeFileSync(path, content);
      const error = await refusal(() => acquireLock(path));
      expect(error.code).toBe("E_LOCKED");
      expect(readFileSync(path, "utf8")).toBe(content);
    }
  });

  test("without an owner stands while it may be being written, and not for ever", async () => {
    const path = join(temporaryFolder(), "lock");
    writeFileSync(path, "");
    expect((await refusal(() => acquireLock(path))).code).toBe("E_LOCKED");
    utimesSync(path, 1, 1);
    acquireLock(path).release();
  });
});

describe("a journal", () => {
  test("gives back its records up to the first line that is torn or damaged, and goes on from there", () => {
    const path = join(temporaryFolder(), "journal");
    const journal = openJournal(path, 0);
    for (const record of [{ a: 1 }, { b: "ü\n" }, { c: [] }]) journal.append(record);
    journal.close();
    expect(readJournal(path).records).toEqual([{ a: 1 }, { b: "ü\n" }, { c: [] }]);
    const whole = readFileSync(path);
    const secondEnds = whole.indexOf(10, whole.indexOf(10) + 1) + 1;
    for (let length = secondEnds; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect(readJournal(path)).toEqual({ records: [{ a: 1 }, { b: "ü\n" }], bytes: secondEnds });
    }
    for (let place = secondEnds; place < whole.length; place++) {
      const damaged = Buffer.from(whole);
      damaged[place]! ^= 1;
      writeFileSync(path, damaged);
      expect(readJournal(path).records.length, `byte ${place}`).toBe(2);
    }
    const again = openJournal(path, secondEnds);
    again.append({ d: 4 });
    again.close();
    expect(readJournal(path).records).toEqual([{ a: 1 }, { b: "ü\n" }, { d: 4 }]);
  });
});

describe("WR-07 writing", () => {
  /** A file that takes so many bytes at a time. */
  async function shortHandle(path: string, atOnce: number) {
    const handle = await open(path, "w");
    const write = handle.write.bind(handle);
    vi.spyOn(handle, "write").mockImplementation(((
      buffer: Uint8Array,
      offset: number,
      length: number,
      position: number,
    ) => write(buffer, offset, Math.min(length, atOnce), position)) as never);
    return handle;
  }

  test("goes on after short writes", async () => {
    const path = join(temporaryFolder(), "file");
    const handle = await shortHandle(path, 7);
    await writeFully(handle, bytes("The quick brown fox jumps over the lazy dog"), 3);
    await handle.close();
    expect(readFileSync(path, "utf8")).toBe("\0\0\0The quick brown fox jumps over the lazy dog");
  });

  test("ends with an error when nothing is taken", async () => {
    const handle = await shortHandle(join(temporaryFolder(), "file"), 0);
    const error = await refusal(() => writeFully(handle, bytes("x"), 0));
    await handle.close();
    expect(error.code).toBe("E_IO");
    expect(error.message).toContain("nothing was written");
  });

  test("a small file is replaced whole, and a failure leaves the old one", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "file");
    await writeFileAtomic(path, bytes("old"));
    await writeFileAtomic(path, bytes("new"));
    expect(readFileSync(path, "utf8")).toBe("new");
    mkdirSync(join(folder, "taken"));
    const error = await refusal(() => writeFileAtomic(join(folder, "taken"), bytes("x")));
    expect(error.code).toBe("E_IO");
    expect(readdirSync(folder).sort()).toEqual(["file", "taken"]);
  });
});
