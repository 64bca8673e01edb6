/**
 * Regular files as byte sources. Opening never blocks on a pipe or device. At most POOL_SIZE
 * descriptors stay open, and none from one command to the next: a file may be replaced in between.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { type ByteSource, checkRange } from "../core/byteSource.ts";
import { SpInferError, toSpInferError } from "../core/errors.ts";

/** Open descriptors kept for reading; a worker thread reads one tensor at a time. */
const POOL_SIZE = isMainThread ? 16 : 2;
/** One read system call; Node refuses 2 GiB and more. */
const READ_BYTES = 1 << 30;

interface Pooled {
  readonly fd: number;
  readonly size: number;
}

/** Descriptors by path, least recently used first. */
const pool = new Map<string, Pooled>();

function acquire(path: string): Pooled {
  const known = pool.get(path);
  if (known !== undefined) {
    pool.delete(path);
    pool.set(path, known);
    return known;
  }
  while (pool.size >= POOL_SIZE) closeFile(pool.keys().next().value!);
  const opened = openRegular(path);
  pool.set(path, opened);
  return opened;
}

function openRegular(path: string): Pooled {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENXIO") throw notRegular(path, "a socket or device");
    throw toSpInferError(error, { path });
  }
  const stat = fstatSync(fd);
  if (stat.isFile()) return { fd, size: stat.size };
  closeSync(fd);
  throw notRegular(path, stat.isDirectory() ? "a folder" : "a pipe, socket or device");
}

function notRegular(path: string, found: string): SpInferError {
  return new SpInferError("E_NOT_REGULAR", `${path}: not a regular file`, {
    path,
    found,
    expected: "a regular file",
  });
}

/** Closes the descriptor of a path, if one is open. */
export function closeFile(path: string): void {
  const pooled = pool.get(path);
  if (pooled === undefined) return;
  pool.delete(path);
  closeSync(pooled.fd);
}

/** Closes all descriptors kept for reading. */
export function closeFiles(): void {
  for (const path of [...pool.keys()]) closeFile(path);
}

/** Bytes of a regular file. Throws E_NOT_REGULAR or E_IO. */
export function fileSize(path: string): number {
  return acquire(path).size;
}

/** Fills `target` from byte `begin` of a file, or throws E_SOURCE_CHANGED when it ends before. */
export function readInto(path: string, begin: number, target: Uint8Array): void {
  const { fd } = acquire(path);
  let done = 0;
  while (done < target.length) {
    const want = Math.min(READ_BYTES, target.length - done);
    let got: number;
    try {
      got = readSync(fd, target, done, want, begin + done);
    } catch (error) {
      throw toSpInferError(error, { path, offset: begin + done });
    }
    if (got === 0) {
      throw new SpInferError(
        "E_SOURCE_CHANGED",
        `${path}: the file ended at byte ${begin + done} while it was read`,
        {
          path,
          offset: begin + done,
          expected: `bytes up to ${begin + target.length}`,
          hint: "something is changing the file: let it finish, then run the command again",
        },
      );
    }
    done += got;
  }
}

/** A file as a byte source; `label` names it in messages. */
export function fileSource(path: string, label: string = path): ByteSource {
  const size = fileSize(path);
  return {
    label,
    size,
    read: async (begin, end) => {
      checkRange(begin, end, size, label);
      const bytes = new Uint8Array(end - begin);
      readInto(path, begin, bytes);
      return bytes;
    },
  };
}
