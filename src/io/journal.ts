/**
 * What a run has finished, one JSON line each, so that a killed run can go on. A line carries its
 * own CRC-32: a torn or damaged line ends the journal. Data are not synced before their line is
 * written; a reader checks them by the hash in the line.
 */
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { toSpInferError } from "../core/errors.ts";
import { nothingWritten } from "./atomicFile.ts";

export interface Journal {
  append(record: unknown): void;
  close(): void;
}

const CRC_DIGITS = 8;

function encodeLine(record: unknown): string {
  const text = JSON.stringify(record);
  return `${crcOf(text)} ${text}\n`;
}

function crcOf(text: string): string {
  return crc32(text).toString(16).padStart(CRC_DIGITS, "0");
}

/** The records of a journal, up to the first that is not whole, and the bytes they take. */
export function readJournal(path: string): { records: unknown[]; bytes: number } {
  const records: unknown[] = [];
  let bytes = 0;
  if (!existsSync(path)) return { records, bytes };
  const content = readFileSync(path);
  for (;;) {
    const end = content.indexOf(10, bytes);
    if (end < 0) break;
    const line = content.toString("utf8", bytes, end);
    const text = line.slice(CRC_DIGITS + 1);
    if (line !== `${crcOf(text)} ${text}`) break;
    records.push(JSON.parse(text));
    bytes = end + 1;
  }
  return { records, bytes };
}

/** Opens a journal for appending after its first `keepBytes` bytes. */
export function openJournal(path: string, keepBytes: number): Journal {
  let fd: number;
  try {
    if (existsSync(path)) truncateSync(path, keepBytes);
    fd = openSync(path, "a");
  } catch (error) {
    throw toSpInferError(error, { path });
  }
  return {
    append(record) {
      const bytes = Buffer.from(encodeLine(record));
      try {
        for (let done = 0; done < bytes.length; ) {
          const written = writeSync(fd, bytes, done);
          if (written === 0) throw nothingWritten(done);
          done += written;
        }
      } catch (error) {
        throw toSpInferError(error, { path });
      }
    },
    close: () => closeSync(fd),
  };
}
