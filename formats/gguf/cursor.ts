/**
 * Reads little-endian values one after the other from the beginning of a file. Each read is
 * checked against the size of the file first and against the bytes at hand second, so that a
 * length from the file is an error before it is a wait for more bytes.
 */

import type { ErrorCode } from "../../src/core/errorCodes.ts";
import { type ErrorDetail, SpInferError } from "../../src/core/errors.ts";

/** Thrown inside the reader when the file goes on but the bytes at hand do not. */
export class MoreBytes {
  readonly atLeast: number;

  constructor(atLeast: number) {
    this.atLeast = atLeast;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Cursor {
  readonly label: string;
  readonly fileSize: number;
  offset = 0;
  readonly #bytes: Buffer;
  readonly #view: DataView;

  /** `bytes` are the first ones of a file of `fileSize` bytes. */
  constructor(bytes: Uint8Array, fileSize: number, label: string) {
    this.label = label;
    this.fileSize = fileSize;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes of the file that are not read yet. */
  get remaining(): number {
    return this.fileSize - this.offset;
  }

  /** The next `count` bytes are taken; the result is where they begin. */
  take(count: number, what: string): number {
    const begin = this.offset;
    const end = begin + count;
    if (end > this.fileSize) {
      throw this.error("E_GGUF_TRUNCATED", `the file ends inside ${what}`, {
        expected: `${end} bytes or more`,
        found: `${this.fileSize} bytes`,
        hint: "download or copy the file again",
      });
    }
    if (end > this.#bytes.length) throw new MoreBytes(end);
    this.offset = end;
    return begin;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.take(1, what));
  }

  i8(what: string): number {
    return this.#view.getInt8(this.take(1, what));
  }

  u16(what: string): number {
    return this.#view.getUint16(this.take(2, what), true);
  }

  i16(what: string): number {
    return this.#view.getInt16(this.take(2, what), true);
  }

  u32(what: string): number {
    return this.#view.getUint32(this.take(4, what), true);
  }

  i32(what: string): number {
    return this.#view.getInt32(this.take(4, what), true);
  }

  f32(what: string): number {
    return this.#view.getFloat32(this.take(4, what), true);
  }

  f64(what: string): number {
    return this.#view.getFloat64(this.take(8, what), true);
  }

  /** A 64-bit count or offset as a number; beyond 2^53 only its size matters, not its digits. */
  u64(what: string): number {
    const at = this.take(8, what);
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  u64Exact(what: string): number | bigint {
    return exact(this.#view.getBigUint64(this.take(8, what), true));
  }

  i64Exact(what: string): number | bigint {
    return exact(this.#view.getBigInt64(this.take(8, what), true));
  }

  /** `count` bytes in fresh memory. */
  bytes(count: number, what: string): Uint8Array {
    const begin = this.take(count, what);
    return new Uint8Array(this.#bytes.subarray(begin, begin + count));
  }

  /**
   * A string: 64-bit length, then UTF-8. Throws E_GGUF_STRING when it is longer than the file
   * or not UTF-8, E_LIMIT when it is longer than `limit`.
   */
  string(limit: number, limitName: string, what: string): string {
    const begin = this.offset;
    const length = this.u64(what);
    if (length > this.remaining) {
      throw this.error("E_GGUF_STRING", `${what} is ${length} bytes long`, {
        offset: begin,
        expected: `at most the ${this.remaining} bytes that follow`,
      });
    }
    if (length > limit) {
      throw this.error("E_LIMIT", `${what} is ${length} bytes long, the limit is ${limit}`, {
        offset: begin,
        hint: `if the file is right, raise the limit: --limit ${limitName}=${length}`,
      });
    }
    const at = this.take(length, what);
    for (let i = at; i < at + length; i++) {
      if (this.#bytes[i]! >= 0x80) return this.#decode(at, at + length, what);
    }
    return this.#bytes.toString("latin1", at, at + length);
  }

  #decode(begin: number, end: number, what: string): string {
    try {
      return utf8.decode(this.#bytes.subarray(begin, end));
    } catch (cause) {
      throw this.error("E_GGUF_STRING", `${what} is not UTF-8`, { offset: begin, cause });
    }
  }

  /** An error at the present offset (or the one in `detail`). */
  error(code: ErrorCode, message: string, detail: ErrorDetail = {}): SpInferError {
    return new SpInferError(code, `${this.label}: ${message}`, {
      path: this.label,
      offset: this.offset,
      ...detail,
    });
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
