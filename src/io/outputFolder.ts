/**
 * An output folder that appears whole or not at all. Everything is written in `<out>.spinfer-partial`
 * beside it; at the end files are synced and the folder is renamed. With `force` an existing output
 * is moved aside first and deleted last. The journal lies beside the folder and goes after the
 * rename: a journal and an output but nothing unfinished means that the run was complete.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { SpInferError, toSpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { syncFolder, writeFully } from "./atomicFile.ts";
import type { IfUnfinished } from "./ifUnfinished.ts";
import { type Journal, openJournal, readJournal } from "./journal.ts";
import { acquireLock, type Lock } from "./lock.ts";

export interface OutputRequest {
  readonly path: string;
  /** Paths that are read from; the output may not touch them. */
  readonly inputs: readonly string[];
  readonly force: boolean;
  readonly unfinished: IfUnfinished;
  /** Identifies the run: what is resumed must have the same. */
  readonly fingerprint: string;
}

/** Paths beside an output that belong to it while it is written. */
function besides(path: string): { partial: string; journal: string; old: string; lock: string } {
  return {
    partial: `${path}.spinfer-partial`,
    journal: `${path}.spinfer-journal`,
    old: `${path}.spinfer-old`,
    lock: `${path}.spinfer-lock`,
  };
}

/** Whether an interrupted run of this output can be gone on with. */
export function hasUnfinished(path: string): boolean {
  return existsSync(besides(path).partial);
}

/** Free bytes where `path` will be. */
export function freeBytes(path: string): number {
  let folder = resolve(path);
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Refuses an output that cannot be written, before any work is done. */
export function checkOutput(request: Pick<OutputRequest, "path" | "inputs" | "force">): void {
  checkPlace(request);
  checkAbsent(resolve(request.path), request.force);
}

function checkPlace({ path, inputs }: Pick<OutputRequest, "path" | "inputs">): void {
  for (const input of inputs) checkApart(resolve(path), input);
  const parent = dirname(resolve(path));
  if (existsSync(parent)) return;
  throw new SpInferError("E_PATH", `${parent}: no such folder`, {
    path: parent,
    hint: "create it, or choose another output",
  });
}

/** Only what a run has made is replaced by another. */
const OUTPUT_MARK = "spinfer_manifest.json";

function checkAbsent(path: string, force: boolean): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    throw new SpInferError("E_OUTPUT_EXISTS", `${path}: there is a file of that name`, {
      path,
      expected: "a folder that does not exist yet",
    });
  }
  const names = readdirSync(path);
  if (names.length === 0) return;
  if (force) {
    if (names.includes(OUTPUT_MARK)) return;
    throw new SpInferError("E_OUTPUT_EXISTS", `${path}: the folder is no output of SpInfer`, {
      path,
      found: names.length > 3 ? `${names.slice(0, 3).join(", ")}, …` : names.join(", "),
      expected: `a folder with ${OUTPUT_MARK}, which --force may replace`,
      hint: "choose another output, or delete the folder yourself",
    });
  }
  throw new SpInferError("E_OUTPUT_EXISTS", `${path}: the folder exists and is not empty`, {
    path,
    hint: "choose another output, or replace it with --force (it is swapped when the new one is complete)",
  });
}

function checkApart(output: string, input: string): void {
  const real = (path: string): string => {
    if (existsSync(path)) return realpathSync(path);
    return join(
      existsSync(dirname(path)) ? realpathSync(dirname(path)) : dirname(path),
      basename(path),
    );
  };
  const [out, source] = [real(output), real(input)];
  const inside = (path: string, folder: string): boolean => {
    const way = relative(folder, path);
    return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !way.includes(":"));
  };
  if (!inside(out, source) && !inside(source, out)) return;
  throw new SpInferError(
    "E_OUTPUT_IS_INPUT",
    `${output}: the output and the input are in one another`,
    {
      path: output,
      found: `input ${input}`,
      hint: "choose an output folder outside the model folder",
    },
  );
}

export class OutputFolder {
  readonly path: string;
  /** Where files are written until the end. */
  readonly partial: string;
  /** What an earlier run had finished, when this one resumes it. */
  readonly finished: readonly unknown[];
  private readonly request: OutputRequest;
  private readonly lock: Lock;
  private readonly journal: Journal;
  private readonly resumes: boolean;
  private recorded = false;
  private closed = false;

  /** Throws E_OUTPUT_EXISTS, E_LOCKED, E_PARTIAL_EXISTS, E_RESUME_MISMATCH, E_NOTHING_TO_RESUME, … */
  static open(request: OutputRequest): OutputFolder {
    const path = resolve(request.path);
    checkPlace(request);
    const lock = acquireLock(besides(path).lock);
    try {
      const complete = settle(path);
      if (request.unfinished === "resume" && isOutput(path)) throw nothingToResume(path, complete);
      checkAbsent(path, request.force);
      return new OutputFolder(request, path, lock);
    } catch (error) {
      lock.release();
      throw toSpInferError(error, { path });
    }
  }

  private constructor(request: OutputRequest, path: string, lock: Lock) {
    this.request = request;
    this.path = path;
    this.lock = lock;
    this.partial = besides(path).partial;
    const journalPath = besides(path).journal;
    const resumed = this.findUnfinished(journalPath);
    this.finished = resumed?.records ?? [];
    this.resumes = resumed !== undefined;
    if (resumed === undefined) {
      rmSync(journalPath, { force: true });
      rmSync(this.partial, { recursive: true, force: true });
      mkdirSync(this.partial);
    }
    this.journal = openJournal(journalPath, resumed?.bytes ?? 0);
    if (resumed === undefined) this.journal.append({ fingerprint: request.fingerprint });
  }

  private findUnfinished(journalPath: string): { records: unknown[]; bytes: number } | undefined {
    const { unfinished, fingerprint } = this.request;
    const stat = lstatSync(this.partial, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) {
      throw new SpInferError(
        "E_PATH",
        `${this.partial}: a link where the unfinished output should be`,
        {
          path: this.partial,
          hint: "delete the link",
        },
      );
    }
    const { records, bytes } = readJournal(journalPath);
    if (unfinished === "restart") return undefined;
    if (records.length === 0 || stat === undefined) {
      // without a journal's first line nothing had been done
      if (unfinished === "resume" && stat === undefined) throw nothingToResume(this.path, false);
      return undefined;
    }
    const [first, ...rest] = records;
    const same = isRecord(first) && first["fingerprint"] === fingerprint;
    if (unfinished === "refuse") throw unfinishedThere(this.partial, same);
    if (!same) throw resumeMismatch(this.partial);
    return { records: rest, bytes };
  }

  /** Records something as finished. */
  record(record: unknown): void {
    this.journal.append(record);
    this.recorded = true;
  }

  pathOf(name: string): string {
    return join(this.partial, name);
  }

  /** Opens a file of the output for writing, keeping what an earlier run wrote. */
  async openFile(name: string): Promise<FileHandle> {
    const path = this.pathOf(name);
    try {
      return await open(path, existsSync(path) ? "r+" : "w+");
    } catch (error) {
      throw toSpInferError(error, { path });
    }
  }

  /**
   * Makes what was written to a file durable. After a failure nothing says which of its bytes are on
   * the disk, and reading them back proves nothing: the file goes, and a resumed run makes it again.
   */
  async sync(handle: FileHandle, name: string): Promise<void> {
    try {
      await handle.sync();
    } catch (error) {
      await rm(this.pathOf(name), { force: true }).catch(() => undefined);
      throw toSpInferError(error, { path: this.pathOf(name) });
    }
  }

  /** Writes a whole file and syncs it. */
  async writeFile(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.pathOf(name);
    try {
      const handle = await open(path, "w");
      try {
        await writeFully(handle, bytes, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw toSpInferError(error, { path });
    }
  }

  /** Puts the folder in its place. All files must be synced and closed. */
  async publish(names: readonly string[]): Promise<void> {
    const { old, journal } = besides(this.path);
    this.journal.close();
    this.closed = true;
    try {
      for (const name of readdirSync(this.partial)) {
        if (!names.includes(name)) await rm(join(this.partial, name), { recursive: true });
      }
      await syncFolder(this.partial);
      await swapIn(this.partial, this.path, old);
      await syncFolder(dirname(this.path));
      await rm(journal, { force: true });
      await rm(old, { recursive: true, force: true });
    } catch (error) {
      throw toSpInferError(error, { path: this.path });
    } finally {
      this.lock.release();
    }
  }

  /** Puts one of the files in the folder's place, where the output is that file. */
  async publishFile(name: string): Promise<void> {
    this.journal.close();
    this.closed = true;
    try {
      await rename(this.pathOf(name), this.path);
      await syncFolder(dirname(this.path));
      await rm(this.partial, { recursive: true, force: true });
      await rm(besides(this.path).journal, { force: true });
    } catch (error) {
      throw toSpInferError(error, { path: this.path });
    } finally {
      this.lock.release();
    }
  }

  /**
   * Leaves the unfinished output as it is, to be resumed. Nothing stays where nothing is finished
   * or where a second try could only fail in the same way.
   */
  suspend(resumable: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.journal.close();
    if (!resumable || !(this.resumes || this.recorded)) this.discard();
    this.lock.release();
  }

  private discard(): void {
    try {
      rmSync(this.partial, { recursive: true, force: true });
      rmSync(besides(this.path).journal, { force: true });
    } catch {
      // the failure that led here is the one to report
    }
  }
}

/** Puts `partial` in the place of `path`; what was there is `old` afterwards. */
async function swapIn(partial: string, path: string, old: string): Promise<void> {
  const replaces = existsSync(path);
  if (replaces) await rename(path, old);
  try {
    await rename(partial, path);
  } catch (error) {
    if (replaces) await rename(old, path);
    throw error;
  }
}

/** Whether an output is in its place, and nothing unfinished beside it. */
function isOutput(path: string): boolean {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder && readdirSync(path).length > 0 && !existsSync(besides(path).partial);
}

function nothingToResume(path: string, complete: boolean): SpInferError {
  return new SpInferError("E_NOTHING_TO_RESUME", `${path}: there is no unfinished run`, {
    path,
    found: complete ? "the complete output of an interrupted run" : undefined,
    hint: complete ? "nothing is left to do" : "run the command without --resume",
  });
}

function unfinishedThere(partial: string, same: boolean): SpInferError {
  return new SpInferError("E_PARTIAL_EXISTS", `${partial}: an unfinished run is there`, {
    path: partial,
    found: same ? "a run with the same input and options" : "a run with other input or options",
    hint: same
      ? "go on with --resume, or start again with --restart"
      : "start again with --restart",
  });
}

function resumeMismatch(partial: string): SpInferError {
  const what = "another input, other options or another version of SpInfer";
  return new SpInferError("E_RESUME_MISMATCH", `${partial}: the unfinished run had ${what}`, {
    path: partial,
    hint: "use the options of that run, or start again with --restart",
  });
}

/**
 * Undoes or completes a swap that was interrupted, and clears what a complete run left behind.
 * Returns whether there was a run that was complete but for that.
 */
function settle(path: string): boolean {
  const { old, partial, journal } = besides(path);
  const replaced = existsSync(old);
  if (replaced) {
    if (existsSync(path)) rmSync(old, { recursive: true, force: true });
    else renameSync(old, path); // killed between the two renames; the new output is still `partial`
  }
  if (existsSync(partial)) return false;
  const ran = replaced || existsSync(journal);
  rmSync(journal, { force: true });
  return ran && existsSync(path);
}
