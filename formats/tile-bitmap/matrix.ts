/**
 * A whole matrix: dense 16-bit values ⇄ payload and weight_meta.
 * Memory: the dense matrix, its payload, and one strip.
 */
import { crc32 } from "node:zlib";
import { SpInferError } from "../../src/core/errors.ts";
import type { HalfMatrix } from "../defineFormat.ts";
import type { StripKernels } from "./chunks.ts";
import {
  ALIGN,
  CHUNK_BITMAP_BYTES,
  CHUNK_COLS,
  CHUNK_ROWS,
  chunkBytes,
  type Grid,
  gridOf,
  MAX_CHUNK_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_SIDE,
  payloadBound,
  VALUE_ORDER,
} from "./layout.ts";
import { chunkName, type Meta, type Origin, readMeta, reject, writeMeta } from "./meta.ts";

export type { HalfMatrix } from "../defineFormat.ts";

export interface PackedMatrix {
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly meta: Uint8Array<ArrayBuffer>;
  readonly nonzeros: number;
  readonly maxChunkNonzeros: number;
}

/**
 * Packs a matrix. Every value whose bits are not all zero is stored, bit for bit.
 * `transposed` records that the dense tensor is [cols, rows]; the matrix given is outputs first.
 * With `inPlace` the payload overwrites the strips that were read already.
 */
export function packMatrix(
  matrix: HalfMatrix,
  transposed: boolean,
  kernels: StripKernels,
  inPlace = false,
): PackedMatrix {
  const { rows, cols, bits, dtype } = matrix;
  if (rows < 1 || cols < 1 || rows > MAX_SIDE || cols > MAX_SIDE || bits.length !== rows * cols) {
    throw new SpInferError(
      "E_SHAPE_UNSUPPORTED",
      `a ${rows} × ${cols} matrix of ${bits.length} values cannot be packed`,
    );
  }
  const grid = gridOf(rows, cols);
  const nonzeros = kernels.countNonzeros(bits);
  const bound = payloadBound(grid, nonzeros);
  if (bound > MAX_PAYLOAD_BYTES) {
    throw new SpInferError(
      "E_SHAPE_UNSUPPORTED",
      `a ${rows} × ${cols} matrix needs more than 64 GiB packed`,
    );
  }
  const sink = new PayloadSink(bound, inPlace ? bits : undefined);
  const encoded = new Uint8Array(grid.chunksPerStrip * MAX_CHUNK_BYTES);
  const offsets = new Uint32Array(grid.chunks + 1);
  const sizes = new Uint32Array(grid.chunksPerStrip);
  const strip = new Uint16Array(CHUNK_ROWS * grid.chunksPerStrip * CHUNK_COLS);
  let chunk = 0;
  let most = 0;
  for (let s = 0; s < grid.strips; s++) {
    const whole = fillStrip(strip, matrix, grid, s);
    const written = kernels.encodeStrip(whole, grid.chunksPerStrip, encoded, 0, sizes);
    sink.write(encoded.subarray(0, written), Math.min((s + 1) * CHUNK_ROWS, rows) * cols * 2);
    for (const size of sizes) {
      offsets[chunk + 1] = offsets[chunk]! + size / ALIGN;
      most = Math.max(most, size);
      chunk++;
    }
  }
  const payload = sink.written();
  const payloadCrc = crc32(payload);
  const meta = writeMeta({ grid, dtype, transposed, nonzeros, payloadCrc, offsets });
  // exact to within the padding of the largest chunk, which is what a kernel sizes its stages by
  return { payload, meta, nonzeros, maxChunkNonzeros: (most - CHUNK_BITMAP_BYTES) / 2 };
}

/** Where a payload goes: into the matrix that is being read, behind the reader, or beside it. */
class PayloadSink {
  private out: Uint8Array<ArrayBuffer>;
  private inPlace: boolean;
  private end = 0;
  private readonly bound: number;

  constructor(bound: number, matrix: Uint16Array | undefined) {
    this.bound = bound;
    this.inPlace = matrix !== undefined;
    this.out =
      matrix === undefined
        ? new Uint8Array(bound)
        : new Uint8Array(matrix.buffer as ArrayBuffer, matrix.byteOffset, matrix.byteLength);
  }

  /** `read`: bytes of the matrix that are not needed any more. */
  write(bytes: Uint8Array, read: number): void {
    if (this.inPlace && this.end + bytes.length > read) {
      const beside = new Uint8Array(this.bound);
      beside.set(this.written());
      this.out = beside;
      this.inPlace = false;
    }
    this.out.set(bytes, this.end);
    this.end += bytes.length;
  }

  written(): Uint8Array<ArrayBuffer> {
    return this.out.subarray(0, this.end);
  }
}

/** Strip `s` with zeros beyond the matrix; a whole one is a view of the matrix itself. */
function fillStrip(strip: Uint16Array, matrix: HalfMatrix, grid: Grid, s: number): Uint16Array {
  const { rows, cols, bits } = matrix;
  const first = s * CHUNK_ROWS;
  const last = Math.min(first + CHUNK_ROWS, rows);
  const stride = grid.chunksPerStrip * CHUNK_COLS;
  if (stride === cols && last - first === CHUNK_ROWS)
    return bits.subarray(first * cols, last * cols);
  strip.fill(0);
  for (let row = first; row < last; row++) {
    strip.set(bits.subarray(row * cols, (row + 1) * cols), (row - first) * stride);
  }
  return strip;
}

/** The values of a validated matrix, outputs × inputs, row-major. */
export function unpackMatrix(
  meta: Meta,
  payload: Uint8Array,
  kernels: StripKernels,
): Uint16Array<ArrayBuffer> {
  const { grid, offsets } = meta;
  const bits = new Uint16Array(grid.rows * grid.cols);
  const stride = grid.chunksPerStrip * CHUNK_COLS;
  const strip = new Uint16Array(CHUNK_ROWS * stride);
  for (let s = 0; s < grid.strips; s++) {
    const firstChunk = s * grid.chunksPerStrip;
    const begin = offsets[firstChunk]! * ALIGN;
    const end = offsets[firstChunk + grid.chunksPerStrip]! * ALIGN;
    const first = s * CHUNK_ROWS;
    const last = Math.min(first + CHUNK_ROWS, grid.rows);
    kernels.decodeStrip(payload.subarray(begin, end), grid.chunksPerStrip, strip);
    for (let row = first; row < last; row++) {
      const from = (row - first) * stride;
      bits.set(strip.subarray(from, from + grid.cols), row * grid.cols);
    }
  }
  return bits;
}

export interface CheckOptions {
  /** Compare the CRC-32s too. Structure is always checked. */
  readonly crc: boolean;
}

/**
 * Checks a packed matrix completely: header, offsets, every bitmap against its chunk's size, zero
 * padding, no bits beyond the matrix, no stored zeros, the count of nonzeros. Nothing in it may be
 * used before. Throws E_TB_… and, with `crc`, E_HASH.
 */
export function checkPacked(
  payload: Uint8Array,
  metaTensor: Uint8Array,
  origin: Origin,
  options: CheckOptions,
): Meta {
  const meta = readMeta(metaTensor, origin, options);
  if (payload.length !== meta.payloadBytes) {
    reject("E_TB_ALIGN", origin, `the payload has ${payload.length} bytes`, `${meta.payloadBytes}`);
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let nonzeros = 0;
  for (let chunk = 0; chunk < meta.grid.chunks; chunk++)
    nonzeros += checkChunk(view, meta, chunk, origin);
  if (nonzeros !== meta.nonzeros) {
    reject("E_TB_COUNT", origin, `${meta.nonzeros} nonzeros are declared and ${nonzeros} stored`);
  }
  if (options.crc && crc32(payload) !== meta.payloadCrc) {
    reject("E_HASH", origin, "the payload does not match its CRC-32");
  }
  return meta;
}

function checkChunk(
  view: DataView,
  { grid, offsets }: Meta,
  chunk: number,
  origin: Origin,
): number {
  const begin = offsets[chunk]! * ALIGN;
  const end = offsets[chunk + 1]! * ALIGN;
  let values = 0;
  for (let at = begin; at < begin + CHUNK_BITMAP_BYTES; at += 4)
    values += popcount(view.getUint32(at, true));
  if (chunkBytes(values) !== end - begin) {
    const found = `the bitmaps of ${chunkName(grid, chunk)} have ${values} bits, its size is ${end - begin} bytes`;
    reject("E_TB_POPCOUNT", origin, found, `${chunkBytes(values)} bytes`);
  }
  const valuesBegin = begin + CHUNK_BITMAP_BYTES;
  const valuesEnd = valuesBegin + 2 * values;
  for (let at = valuesBegin; at < valuesEnd; at += 2) {
    if (view.getUint16(at, true) === 0)
      reject("E_TB_ZERO", origin, `${chunkName(grid, chunk)} stores a zero`);
  }
  for (let at = valuesEnd; at < end; at += 2) {
    if (view.getUint16(at, true) !== 0)
      reject("E_TB_PADDING", origin, `the padding of ${chunkName(grid, chunk)} is not zero`);
  }
  checkEdges(view, begin, grid, chunk, origin);
  return values;
}

/** Bits for rows or columns beyond the matrix must be clear. */
function checkEdges(
  view: DataView,
  begin: number,
  grid: Grid,
  chunk: number,
  origin: Origin,
): void {
  const rowsHere = grid.rows - Math.floor(chunk / grid.chunksPerStrip) * CHUNK_ROWS;
  const colsHere = grid.cols - (chunk % grid.chunksPerStrip) * CHUNK_COLS;
  if (rowsHere >= CHUNK_ROWS && colsHere >= CHUNK_COLS) return;
  for (let block = 0; block < 2; block++) {
    for (const { lane, bit, row, col } of VALUE_ORDER) {
      if (row + block * 16 < rowsHere && col < colsHere) continue;
      if (((view.getUint32(begin + (block * 32 + lane) * 4, true) >>> bit) & 1) !== 0) {
        reject("E_TB_PADDING", origin, `${chunkName(grid, chunk)} has a bit beyond the matrix`);
      }
    }
  }
}

function popcount(word: number): number {
  let x = word - ((word >>> 1) & 0x5555_5555);
  x = (x & 0x3333_3333) + ((x >>> 2) & 0x3333_3333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
