/**
 * Reads the header of a GGUF file (versions 2 and 3, little-endian).
 *
 * Memory holds the header only; the tensor data is never read here. The length of a GGUF header
 * is written nowhere, so it is read in growing pieces from the beginning until it is whole. The
 * file comes from strangers: every count and length is checked before it is used.
 */
import type { ByteSource } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";
import type { Limits } from "../../src/core/limits.ts";
import { Cursor, MoreBytes } from "./cursor.ts";
import type { GgufHeader, GgufValue } from "./header.ts";
import { align, placeTensors, readTensorInfos } from "./tensorInfos.ts";
import { DEFAULT_ALIGNMENT, MAGIC, VERSIONS } from "./types.ts";
import { readMetadata } from "./values.ts";

/** Enough for most headers with a vocabulary of 32,000. */
const FIRST_READ_BYTES = 2 * 1024 * 1024;
/** Fewest bytes of a key with its value, and of a tensor's entry. */
const KEY_BYTES = 8 + 1 + 4 + 1;
const TENSOR_BYTES = 8 + 1 + 4 + 4 + 8;

/** More of the file is needed to read its header: `atLeast` bytes from its beginning. */
export interface HeaderGoesOn {
  readonly atLeast: number;
}

/**
 * Parses and checks a header. `bytes` are the first ones of a file of `fileSize` bytes; when they
 * do not hold the whole header the result says so. Throws the E_GGUF_… codes and E_LIMIT….
 */
export function parseGguf(
  bytes: Uint8Array,
  fileSize: number,
  label: string,
  limits: Limits,
): GgufHeader | HeaderGoesOn {
  const cursor = new Cursor(bytes, fileSize, label);
  try {
    return readHeader(cursor, limits);
  } catch (thrown) {
    if (thrown instanceof MoreBytes) return thrown;
    throw thrown;
  }
}

/** Reads as much of `source` as its header takes. Throws what `parseGguf` throws. */
export async function readGguf(source: ByteSource, limits: Limits): Promise<GgufHeader> {
  let end = Math.min(source.size, FIRST_READ_BYTES);
  for (;;) {
    const bytes = await source.read(0, end);
    const header = parseGguf(bytes, source.size, source.label, limits);
    if (!("atLeast" in header)) return header;
    if (header.atLeast > limits.headerBytes) {
      throw new SpInferError(
        "E_LIMIT",
        `${source.label}: the header is longer than the limit of ${limits.headerBytes} bytes`,
        {
          path: source.label,
          hint: "if the file is right, raise the limit: --limit headerBytes=…",
        },
      );
    }
    // four times as much each time: all reads together stay below 4/3 of the last one
    end = Math.min(source.size, limits.headerBytes, Math.max(header.atLeast, 4 * end));
  }
}

function readHeader(cursor: Cursor, limits: Limits): GgufHeader {
  checkMagic(cursor);
  const version = readVersion(cursor);
  const tensorCount = readCount(cursor, "tensors", TENSOR_BYTES, limits.tensors);
  const keyCount = readCount(cursor, "metadata keys", KEY_BYTES, limits.ggufKeys);
  const metadata = readMetadata(cursor, keyCount, limits);
  const alignment = readAlignment(cursor, metadata);
  const listed = readTensorInfos(cursor, tensorCount, limits);
  // a file without tensors may end with its header, unpadded
  const headerEnd = cursor.offset;
  const dataBegin = tensorCount === 0 ? headerEnd : align(headerEnd, alignment);
  if (tensorCount === 0 && cursor.fileSize <= align(headerEnd, alignment)) {
    return { version, alignment, metadata, tensors: [], dataBegin: cursor.fileSize };
  }
  const tensors = placeTensors(listed, dataBegin, alignment, cursor);
  return { version, alignment, metadata, tensors, dataBegin };
}

function checkMagic(cursor: Cursor): void {
  const bytes = cursor.bytes(Math.min(4, cursor.fileSize), "the magic number");
  const found = String.fromCharCode(...bytes);
  if (found === MAGIC) return;
  throw cursor.error("E_GGUF_MAGIC", `the file does not begin with "${MAGIC}"`, {
    offset: 0,
    found: JSON.stringify(found),
    hint: MAGIC_HINTS.find(([start]) => found.startsWith(start))?.[1],
  });
}

const MAGIC_HINTS: readonly (readonly [string, string])[] = [
  ["vers", "this is a git-lfs pointer: fetch the file itself with git lfs pull"],
  ["<", "this is a web page: the download failed"],
  ["{", "this is JSON: the download failed"],
  ["ggml", "this is a file of a format before GGUF: convert the original model again"],
  ["ggjt", "this is a file of a format before GGUF: convert the original model again"],
  ["tjgg", "this is a file of a format before GGUF: convert the original model again"],
];

function readVersion(cursor: Cursor): number {
  const version = cursor.u32("the version");
  if (VERSIONS.includes(version)) return version;
  const swapped = (version & 0xffff) === 0 && version !== 0;
  throw cursor.error(
    "E_GGUF_VERSION",
    swapped
      ? "the file is a big-endian GGUF"
      : `GGUF version ${version} is not one of ${VERSIONS.join(", ")}`,
    { offset: 4, hint: version === 1 ? "convert the original model again" : undefined },
  );
}

function readCount(cursor: Cursor, what: string, leastBytes: number, limit: number): number {
  const begin = cursor.offset;
  const count = cursor.u64(`the count of ${what}`);
  if (count * leastBytes > cursor.remaining) {
    throw cursor.error("E_GGUF_COUNT", `the header claims ${count} ${what}`, {
      offset: begin,
      expected: `at most the ${Math.floor(cursor.remaining / leastBytes)} that the file can hold`,
    });
  }
  if (count > limit) {
    const code = what === "tensors" ? "E_LIMIT_TENSORS" : "E_LIMIT";
    const name = what === "tensors" ? "tensors" : "ggufKeys";
    throw cursor.error(code, `the header lists ${count} ${what}, the limit is ${limit}`, {
      offset: begin,
      hint: `if the file is right, raise the limit: --limit ${name}=${count}`,
    });
  }
  return count;
}

function readAlignment(cursor: Cursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get("general.alignment");
  if (alignment === undefined) return DEFAULT_ALIGNMENT;
  if (
    alignment.type !== "u32" ||
    alignment.value === 0 ||
    2 ** Math.round(Math.log2(alignment.value)) !== alignment.value
  ) {
    const found =
      alignment.type === "array" ? "an array" : `${alignment.type} ${String(alignment.value)}`;
    throw cursor.error("E_GGUF_ALIGN", `"general.alignment" is ${found}`, {
      expected: "a power of two, as u32",
    });
  }
  return alignment.value;
}
