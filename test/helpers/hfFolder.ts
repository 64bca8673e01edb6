/**
 * Model folders for tests: sees a folder or file on disk as ModelFiles, and writes an opened
 * archive as a Hugging Face folder with one safetensors file, in the plainest way there is.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Format } from "../../formats/defineFormat.ts";
import type { Archive, Encoding, TensorEntry } from "../../src/core/archive.ts";
import { type ByteSource, checkRange, type ModelFiles } from "../../src/core/byteSource.ts";
import { denseBytes, isDtype } from "../../src/core/dtype.ts";
import { SpInferError } from "../../src/core/errors.ts";

/** The files of a folder, or one file. */
export function filesOf(path: string): ModelFiles {
  const single = statSync(path).isFile();
  const folder = single ? dirname(path) : path;
  const names = single ? [basename(path)] : readdirSync(folder).sort();
  return {
    label: path,
    single,
    names,
    has: (name) => names.includes(name),
    open: async (name) => openFile(join(folder, name)),
  };
}

function openFile(path: string): ByteSource {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new SpInferError("E_SHARD_MISSING", `${path}: no such file`);
  return {
    label: path,
    size: stats.size,
    read: async (begin, end) => {
      checkRange(begin, end, stats.size, path);
      const bytes = new Uint8Array(end - begin);
      const file = openSync(path, "r");
      const read = readSync(file, bytes, 0, bytes.length, begin);
      closeSync(file);
      if (read !== bytes.length) throw new Error(`${path}: ${read} of ${bytes.length} bytes`);
      return bytes;
    },
  };
}

/** The dense bytes of one tensor. */
export async function denseTensor(
  format: Format,
  files: ModelFiles,
  entry: TensorEntry,
): Promise<Uint8Array> {
  const stored: Uint8Array[] = [];
  for (const { file, begin, end } of entry.extents) {
    stored.push(await (await files.open(file)).read(begin, end));
  }
  if (entry.encoding === undefined || format.decode === undefined) return stored[0]!;
  return format.decode(entry as TensorEntry & { encoding: Encoding }, stored).bytes;
}

/** Writes config.json, side files and model.safetensors into `folder`. */
export async function writeHfFolder(
  format: Format,
  files: ModelFiles,
  archive: Archive,
  folder: string,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), archive.configText ?? JSON.stringify(archive.config));
  for (const { name, content } of archive.sideFiles) {
    if (content.from === "bytes") writeFileSync(join(folder, name), content.bytes);
  }
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const { name, dtype, shape } of archive.entries) {
    const bytes = isDtype(dtype) ? (denseBytes(dtype, shape) ?? 0) : 0;
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(join(folder, "model.safetensors"), "w");
  writeSync(file, length);
  writeSync(file, text);
  for (const entry of archive.entries) writeSync(file, await denseTensor(format, files, entry));
  closeSync(file);
}
