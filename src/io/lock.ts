/** One writer for each output: a lock file beside it that names its owner. */
import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { SpInferError, toSpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";

export interface Lock {
  release(): void;
}

/**
 * Takes the lock, or takes it over when its owner is a dead process of this machine.
 * Throws E_LOCKED.
 */
export function acquireLock(path: string): Lock {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(path)) return { release: () => rmSync(path, { force: true }) };
    const owner = readOwner(path);
    if (owner === undefined ? isFresh(path) : !isDead(owner)) throw lockedBy(path, owner);
    rmSync(path, { force: true });
  }
  throw new SpInferError("E_LOCKED", `${path}: another run takes this lock again and again`, {
    path,
  });
}

function create(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "wx");
  } catch (error) {
    if ((error as { code?: unknown }).code === "EEXIST") return false;
    throw toSpInferError(error, { path });
  }
  try {
    writeSync(fd, JSON.stringify({ pid: process.pid, host: hostname() }));
  } finally {
    closeSync(fd);
  }
  return true;
}

interface Owner {
  readonly pid: number;
  readonly host: string;
}

/** Undefined when the file is gone or was never finished. */
function readOwner(path: string): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (isRecord(owner) && typeof owner["pid"] === "number" && typeof owner["host"] === "string") {
      return { pid: owner["pid"], host: owner["host"] };
    }
  } catch (error) {
    if (!(error instanceof SyntaxError) && (error as { code?: unknown }).code !== "ENOENT") {
      throw toSpInferError(error, { path });
    }
  }
  return undefined;
}

/** A lock without an owner may be one that is being written right now. */
function isFresh(path: string): boolean {
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < 10_000;
}

function isDead({ pid, host }: Owner): boolean {
  if (host !== hostname()) return false;
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ESRCH";
  }
}

function lockedBy(path: string, owner: Owner | undefined): SpInferError {
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
  return new SpInferError("E_LOCKED", `${path}: ${who} is writing this output`, {
    path,
    hint: "wait for it; if you are sure that it has ended, delete the lock file",
  });
}
