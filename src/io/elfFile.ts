/**
 * Whether a library is all there. dlopen maps a file that is cut short without a word, and the
 * process dies of SIGBUS at the pages that are missing.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const HEADER_BYTES = 64;
/** 64-bit, little-endian. */
const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const SEGMENT_BYTES = 56;

/**
 * The bytes that a 64-bit ELF file must have at least by its program headers (System V ABI, chapter
 * 5), and those that it has. Undefined for a file of another kind, which dlopen refuses with a reason.
 */
export function sizesOf(
  path: string,
): { readonly least: number; readonly found: number } | undefined {
  const fd = openSync(path, "r");
  try {
    const found = fstatSync(fd).size;
    const header = Buffer.alloc(HEADER_BYTES);
    const read = readSync(fd, header, 0, HEADER_BYTES, 0);
    if (read < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
    const at = Number(header.readBigUInt64LE(32));
    const [entryBytes, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
    let least = at + entryBytes * count;
    if (entryBytes < SEGMENT_BYTES || least > found) return { least, found };
    const table = Buffer.alloc(entryBytes * count);
    readSync(fd, table, 0, table.length, at);
    for (let entry = 0; entry < table.length; entry += entryBytes) {
      const end = table.readBigUInt64LE(entry + 8) + table.readBigUInt64LE(entry + 32);
      least = Math.max(least, Number(end));
    }
    return { least, found };
  } finally {
    closeSync(fd);
  }
}
