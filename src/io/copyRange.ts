/** Streams of bytes between files, hashed on the way. Memory: one piece. */
import type { Hash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { toSpInferError } from "../core/errors.ts";
import { nothingWritten } from "./atomicFile.ts";
import { readInto } from "./openFile.ts";

const PIECE_BYTES = 4 * 1024 * 1024;
/** One write system call; Node refuses 2 GiB and more. */
const WRITE_BYTES = 1 << 30;

/** Feeds bytes begin..end of a file to a hash. */
export function hashRange(path: string, begin: number, end: number, hash: Hash): void {
  eachPiece(path, begin, end, (piece) => {
    hash.update(piece);
  });
}

/** A place in a file that exists. */
export interface Target {
  readonly path: string;
  readonly position: number;
}

/** Copies bytes begin..end of one file to a place in another, and hashes them. */
export function copyRange(
  source: { readonly path: string; readonly begin: number; readonly end: number },
  target: Target,
  hash: Hash,
): void {
  withFile(target.path, (fd) => {
    let position = target.position;
    eachPiece(source.path, source.begin, source.end, (piece) => {
      hash.update(piece);
      writeAll(fd, piece, position, target.path);
      position += piece.length;
    });
  });
}

/** Writes bytes to their place. */
export function writeRange({ path, position }: Target, bytes: Uint8Array): void {
  withFile(path, (fd) => writeAll(fd, bytes, position, path));
}

function withFile(path: string, use: (fd: number) => void): void {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch (error) {
    throw toSpInferError(error, { path });
  }
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}

function eachPiece(
  path: string,
  begin: number,
  end: number,
  use: (piece: Uint8Array) => void,
): void {
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, end - begin));
  for (let at = begin; at < end; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, end - at));
    readInto(path, at, piece);
    use(piece);
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number, path: string): void {
  try {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, WRITE_BYTES);
      const written = writeSync(fd, bytes, done, length, position + done);
      if (written === 0) throw nothingWritten(position + done);
      done += written;
    }
  } catch (error) {
    throw toSpInferError(error, { path });
  }
}
