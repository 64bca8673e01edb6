/**
 * The weight_meta tensor: a 64-byte header and the chunk offsets. Reading it checks every field
 * against the others; what `readMeta` returns can be trusted as far as the payload's length.
 */
import { crc32 } from "node:zlib";
import type { HalfDtype } from "../../src/core/dtype.ts";
import type { ErrorCode } from "../../src/core/errorCodes.ts";
import { SpInferError } from "../../src/core/errors.ts";
import {
  ALIGN,
  CHUNK_BITMAP_BYTES,
  CHUNK_COLS,
  CHUNK_ROWS,
  FLAG_TRANSPOSED,
  type Grid,
  gridOf,
  MAX_CHUNK_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_SIDE,
  META,
  META_MAGIC,
  metaBytes,
  ORDER_NIBBLE_PLANES,
  VALUE_DTYPES,
  VERSION_MAJOR,
  VERSION_MINOR,
} from "./layout.ts";

export interface Meta {
  /** Outputs × inputs, whatever the dense tensor's layout. */
  readonly grid: Grid;
  readonly dtype: HalfDtype;
  /** The dense tensor is [cols, rows]. */
  readonly transposed: boolean;
  readonly nonzeros: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
  /** chunks + 1 entries, in units of 16 bytes. */
  readonly offsets: Uint32Array;
}

export type MetaFields = Omit<Meta, "payloadBytes">;

/** What the first 64 bytes tell. */
export type MetaHeader = Omit<Meta, "offsets">;

/** The bytes of weight_meta. */
export function writeMeta(meta: MetaFields): Uint8Array<ArrayBuffer> {
  const { grid, offsets } = meta;
  const bytes = new Uint8Array(metaBytes(grid));
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(META_MAGIC), META.magic);
  view.setUint16(META.versionMajor, VERSION_MAJOR, true);
  view.setUint16(META.versionMinor, VERSION_MINOR, true);
  view.setUint8(META.valueDtype, VALUE_DTYPES[meta.dtype]);
  view.setUint8(META.valueOrder, ORDER_NIBBLE_PLANES);
  view.setUint8(META.flags, meta.transposed ? FLAG_TRANSPOSED : 0);
  view.setUint32(META.rows, grid.rows, true);
  view.setUint32(META.cols, grid.cols, true);
  view.setUint16(META.chunkRows, CHUNK_ROWS, true);
  view.setUint16(META.chunkCols, CHUNK_COLS, true);
  view.setUint32(META.headerBytes, META.bytes, true);
  view.setBigUint64(META.nonzeros, BigInt(meta.nonzeros), true);
  view.setBigUint64(META.payloadBytes, BigInt(offsets[grid.chunks]!) * BigInt(ALIGN), true);
  view.setUint32(META.chunks, grid.chunks, true);
  view.setUint32(META.payloadCrc, meta.payloadCrc, true);
  for (let i = 0; i <= grid.chunks; i++) view.setUint32(META.bytes + 4 * i, offsets[i]!, true);
  view.setUint32(META.metaCrc, crc32(bytes), true);
  return bytes;
}

/** Where a packed weight comes from, for messages. */
export interface Origin {
  readonly path?: string | undefined;
  readonly tensor?: string | undefined;
}

const DAMAGED =
  "the checkpoint is damaged or was not written by SpInfer: fetch it again or convert it anew";

/** Raises `code` about a packed weight. */
export function reject(
  code: ErrorCode,
  origin: Origin,
  what: string,
  expected?: string,
  hint: string = DAMAGED,
): never {
  const where = [origin.path, origin.tensor].filter((part) => part !== undefined).join(": ");
  throw new SpInferError(code, `${where === "" ? "tile-bitmap" : where}: ${what}`, {
    path: origin.path,
    tensor: origin.tensor,
    expected,
    hint,
  });
}

export interface ReadMetaOptions {
  /** Check the header's own CRC-32. Structure alone is always checked. */
  readonly crc: boolean;
}

/**
 * Parses the header alone, given the first bytes of a weight_meta of `metaLength` bytes.
 * Throws E_TB_VERSION, E_TB_LAYOUT, E_TB_COUNT.
 */
export function readMetaHeader(bytes: Uint8Array, metaLength: number, origin: Origin): MetaHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { dtype, transposed } = readIdentity(bytes, view, origin);
  const grid = readGrid(metaLength, view, origin);
  const payloadBytes = readSafe(view, META.payloadBytes, "payload size", origin);
  const nonzeros = readSafe(view, META.nonzeros, "count of nonzeros", origin);
  if (nonzeros > grid.rows * grid.cols) {
    reject("E_TB_COUNT", origin, `${nonzeros} nonzeros in a ${grid.rows} × ${grid.cols} matrix`);
  }
  const payloadCrc = view.getUint32(META.payloadCrc, true);
  return { grid, dtype, transposed, nonzeros, payloadBytes, payloadCrc };
}

/**
 * Parses weight_meta, which must be whole.
 * Throws E_TB_VERSION, E_TB_LAYOUT, E_TB_OFFSETS, E_TB_COUNT, E_TB_PADDING, E_HASH.
 */
export function readMeta(bytes: Uint8Array, origin: Origin, options: ReadMetaOptions): Meta {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readMetaHeader(bytes, bytes.length, origin);
  const { grid, payloadBytes } = header;
  const offsets = readOffsets(view, grid, payloadBytes, origin);
  for (let at = META.bytes + 4 * (grid.chunks + 1); at < bytes.length; at++) {
    if (bytes[at] !== 0) {
      reject("E_TB_PADDING", origin, `weight_meta byte ${at} is padding but not zero`);
    }
  }
  if (options.crc) checkMetaCrc(bytes, view, origin);
  return { ...header, offsets };
}

function readIdentity(
  bytes: Uint8Array,
  view: DataView,
  origin: Origin,
): Pick<Meta, "dtype" | "transposed"> {
  if (bytes.length < META.bytes) {
    reject(
      "E_TB_LAYOUT",
      origin,
      `weight_meta has ${bytes.length} bytes`,
      `at least ${META.bytes}`,
    );
  }
  const magic = new TextDecoder("latin1").decode(bytes.subarray(0, META_MAGIC.length));
  if (magic !== META_MAGIC)
    reject("E_TB_LAYOUT", origin, "weight_meta does not begin with its magic", META_MAGIC);
  const major = view.getUint16(META.versionMajor, true);
  const minor = view.getUint16(META.versionMinor, true);
  if (major !== VERSION_MAJOR || minor > VERSION_MINOR) {
    reject(
      "E_TB_VERSION",
      origin,
      `tile-bitmap version ${major}.${minor} is not supported`,
      `version ${VERSION_MAJOR}.0 to ${VERSION_MAJOR}.${VERSION_MINOR}`,
      "use a newer SpInfer to read this checkpoint",
    );
  }
  const code = view.getUint8(META.valueDtype);
  const dtype = (["F16", "BF16"] as const).find((name) => VALUE_DTYPES[name] === code);
  if (dtype === undefined)
    reject("E_TB_LAYOUT", origin, `value dtype code ${code}`, "1 (fp16) or 2 (bf16)");
  const order = view.getUint8(META.valueOrder);
  if (order !== ORDER_NIBBLE_PLANES)
    reject("E_TB_LAYOUT", origin, `value order code ${order}`, "1 (nibble planes)");
  const scale = view.getUint8(META.scaleKind);
  if (scale !== 0) reject("E_TB_LAYOUT", origin, `scale kind ${scale}`, "0 (none)");
  const flags = view.getUint8(META.flags);
  if ((flags & ~FLAG_TRANSPOSED) !== 0) reject("E_TB_LAYOUT", origin, `flags ${flags}`, "0 or 1");
  if (view.getUint32(META.reserved, true) !== 0)
    reject("E_TB_LAYOUT", origin, "a reserved field is not zero");
  return { dtype, transposed: flags === FLAG_TRANSPOSED };
}

function readGrid(metaLength: number, view: DataView, origin: Origin): Grid {
  const rows = view.getUint32(META.rows, true);
  const cols = view.getUint32(META.cols, true);
  if (rows < 1 || cols < 1 || rows > MAX_SIDE || cols > MAX_SIDE) {
    reject("E_TB_LAYOUT", origin, `shape ${rows} × ${cols}`, "1 × 1 or more");
  }
  const chunkRows = view.getUint16(META.chunkRows, true);
  const chunkCols = view.getUint16(META.chunkCols, true);
  if (chunkRows !== CHUNK_ROWS || chunkCols !== CHUNK_COLS) {
    reject(
      "E_TB_LAYOUT",
      origin,
      `chunks of ${chunkRows} × ${chunkCols}`,
      `${CHUNK_ROWS} × ${CHUNK_COLS}`,
    );
  }
  const headerBytes = view.getUint32(META.headerBytes, true);
  if (headerBytes !== META.bytes) {
    reject("E_TB_LAYOUT", origin, `a header of ${headerBytes} bytes`, `${META.bytes}`);
  }
  const grid = gridOf(rows, cols);
  const chunks = view.getUint32(META.chunks, true);
  if (chunks !== grid.chunks) {
    reject("E_TB_LAYOUT", origin, `${chunks} chunks for ${rows} × ${cols}`, `${grid.chunks}`);
  }
  if (metaLength !== metaBytes(grid)) {
    reject(
      "E_TB_LAYOUT",
      origin,
      `weight_meta has ${metaLength} bytes`,
      `${metaBytes(grid)} for ${chunks} chunks`,
    );
  }
  return grid;
}

function readSafe(view: DataView, at: number, what: string, origin: Origin): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(MAX_PAYLOAD_BYTES)) reject("E_TB_COUNT", origin, `a ${what} of ${value}`);
  return Number(value);
}

function readOffsets(
  view: DataView,
  grid: Grid,
  payloadBytes: number,
  origin: Origin,
): Uint32Array {
  const offsets = new Uint32Array(grid.chunks + 1);
  for (let i = 0; i <= grid.chunks; i++) offsets[i] = view.getUint32(META.bytes + 4 * i, true);
  if (offsets[0] !== 0) reject("E_TB_OFFSETS", origin, `the first offset is ${offsets[0]}`, "0");
  for (let chunk = 0; chunk < grid.chunks; chunk++) {
    const bytes = (offsets[chunk + 1]! - offsets[chunk]!) * ALIGN;
    if (bytes < CHUNK_BITMAP_BYTES || bytes > MAX_CHUNK_BYTES) {
      const range = `${CHUNK_BITMAP_BYTES} to ${MAX_CHUNK_BYTES}`;
      reject("E_TB_OFFSETS", origin, `${chunkName(grid, chunk)} has ${bytes} bytes`, range);
    }
  }
  const end = offsets[grid.chunks]! * ALIGN;
  if (end !== payloadBytes) {
    reject("E_TB_COUNT", origin, `the offsets end at ${end}, the payload at ${payloadBytes}`);
  }
  return offsets;
}

/** "chunk 7 (rows 0..31, columns 448..511)" */
export function chunkName(grid: Grid, chunk: number): string {
  const row = Math.floor(chunk / grid.chunksPerStrip) * CHUNK_ROWS;
  const col = (chunk % grid.chunksPerStrip) * CHUNK_COLS;
  const lastRow = Math.min(row + CHUNK_ROWS, grid.rows) - 1;
  const lastCol = Math.min(col + CHUNK_COLS, grid.cols) - 1;
  return `chunk ${chunk} (rows ${row}..${lastRow}, columns ${col}..${lastCol})`;
}

function checkMetaCrc(bytes: Uint8Array, view: DataView, origin: Origin): void {
  const stored = view.getUint32(META.metaCrc, true);
  const zeroed = bytes.slice();
  zeroed.fill(0, META.metaCrc, META.metaCrc + 4);
  if (crc32(zeroed) !== stored) reject("E_HASH", origin, "weight_meta does not match its CRC-32");
}
