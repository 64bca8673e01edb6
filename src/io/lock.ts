/** One writer for each output: a lock file beside it that names its owner. */
import {
  closeSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import { SpInferError, toSpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";

export interface Lock {
  release(): void;
}

/** Locks held by this process: a lock with its process id that is not among them is an old one. */
const held = new Set<string>();

/**
 * Takes the lock, or takes it over when its owner is a dead process of this machine.
 * Throws E_LOCKED.
 */
export function acquireLock(path: string): Lock {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(path)) {
      held.add(path);
      return { release: () => release(path) };
    }
    const owner = readOwner(path);
    if (isHeld(path, owner)) throw lockedBy(path, owner);
    removeStale(path);
  }
  throw new SpInferError("E_LOCKED", `${path}: another run takes this lock again and again`, {
    path,
  });
}

const RETRY_MS = 20;

/** Takes the lock when it is free, at the latest after `waitMs`. Throws E_LOCKED. */
export async function awaitLock(path: string, waitMs: number): Promise<Lock> {
  const until = performance.now() + waitMs;
  for (;;) {
    try {
      return acquireLock(path);
    } catch (error) {
      const locked = error instanceof SpInferError && error.code === "E_LOCKED";
      if (!locked || performance.now() > until) throw error;
      await setTimeout(RETRY_MS);
    }
  }
}

function release(path: string): void {
  held.delete(path);
  rmSync(path, { force: true });
}

function isHeld(path: string, owner: Owner | undefined): boolean {
  return owner === undefined ? isFresh(path) : !isDead(owner, path);
}

/**
 * Removes a lock that was found stale. Another process may have done the same and taken the lock in
 * between: so it is moved aside first, looked at again, and put back when it turns out to be alive.
 */
function removeStale(path: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    const owner = readOwner(aside);
    if (owner !== undefined && isHeld(path, owner)) linkSync(aside, path);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code !== "ENOENT" && code !== "EEXIST") throw toSpInferError(error, { path });
  } finally {
    rmSync(aside, { force: true });
  }
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
  } catch (error) {
    rmSync(path, { force: true });
    throw toSpInferError(error, { path });
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

function isDead({ pid, host }: Owner, path: string): boolean {
  if (host !== hostname()) return false;
  // in containers process ids come again at once
  if (pid === process.pid) return !held.has(path);
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
