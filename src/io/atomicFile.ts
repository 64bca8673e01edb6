/** Writing so that a crash leaves the old file or the new one. */
import { copyFile, type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { SpInferError, toSpInferError } from "../core/errors.ts";

/** Writes all of `bytes` at `position`, however many calls it takes. */
export async function writeFully(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(
      bytes,
      done,
      Math.min(bytes.length - done, 1 << 30),
      position + done,
    );
    if (bytesWritten === 0) throw nothingWritten(position + done);
    done += bytesWritten;
  }
}

/** A file system that takes no bytes and says nothing about it would keep us writing for ever. */
export function nothingWritten(offset: number): SpInferError {
  return new SpInferError("E_IO", `nothing was written at byte ${offset}`, { offset });
}

/** Makes renames inside `folder` durable. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Copies a file to a place beside its own and renames it, so that it is there whole. */
export async function copyWhole(from: string, to: string): Promise<void> {
  const temporary = `${to}.spinfer-tmp`;
  try {
    await copyFile(from, temporary);
    const handle = await open(temporary, "r+");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, to);
    await syncFolder(dirname(to));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw toSpInferError(error, { path: to });
  }
}

/** Writes a small file beside its place, syncs it and renames it. */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.spinfer-tmp`;
  try {
    const handle = await open(temporary, "w");
    try {
      await writeFully(handle, bytes, 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw toSpInferError(error, { path });
  }
}
