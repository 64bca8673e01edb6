/**
 * Strips of chunks, encoded and decoded in plain TypeScript: the readable twin of wasm/tileBitmap.c
 * and what runs where WebAssembly SIMD does not. The order of bits and values comes from ./layout.ts.
 */
import {
  BLOCK_ROWS,
  BLOCK_VALUES,
  BLOCKS_PER_CHUNK,
  CHUNK_BITMAP_BYTES,
  CHUNK_COLS,
  chunkBytes,
  LANES,
  VALUE_ORDER,
} from "./layout.ts";

/** What encoding and decoding are made of; a strip is 32 rows × (64 × chunks) values, row-major. */
export interface StripKernels {
  readonly name: "typescript" | "wasm";
  /** Values whose bits are not all zero. */
  countNonzeros(values: Uint16Array): number;
  /**
   * Writes the chunks of `strip` to `out` from byte `begin` on and their sizes in bytes to `sizes`.
   * Returns the bytes written. `out` is zero there, or is made so where it matters.
   */
  encodeStrip(
    strip: Uint16Array,
    chunks: number,
    out: Uint8Array,
    begin: number,
    sizes: Uint32Array,
  ): number;
  /** Reads validated chunks and writes every value of `strip`. */
  decodeStrip(encoded: Uint8Array, chunks: number, strip: Uint16Array): void;
}

const ORDER_LANE = Uint8Array.from(VALUE_ORDER, ({ lane }) => lane);
const ORDER_BIT = Uint8Array.from(VALUE_ORDER, ({ bit }) => bit);
const ORDER_ROW = Uint8Array.from(VALUE_ORDER, ({ row }) => row);
const ORDER_COL = Uint8Array.from(VALUE_ORDER, ({ col }) => col);

export const plainKernels: StripKernels = {
  name: "typescript",
  countNonzeros(values) {
    let count = 0;
    for (let i = 0; i < values.length; i++) count += values[i] === 0 ? 0 : 1;
    return count;
  },

  encodeStrip(strip, chunks, out, begin, sizes) {
    const stride = chunks * CHUNK_COLS;
    const bitmap = new Uint32Array(LANES);
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    let at = begin;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const start = at;
      at += CHUNK_BITMAP_BYTES;
      for (let block = 0; block < BLOCKS_PER_CHUNK; block++) {
        const corner = block * BLOCK_ROWS * stride + chunk * CHUNK_COLS;
        bitmap.fill(0);
        for (let i = 0; i < BLOCK_VALUES; i++) {
          const value = strip[corner + ORDER_ROW[i]! * stride + ORDER_COL[i]!]!;
          if (value === 0) continue;
          bitmap[ORDER_LANE[i]!]! |= 1 << ORDER_BIT[i]!;
          view.setUint16(at, value, true);
          at += 2;
        }
        for (let lane = 0; lane < LANES; lane++) {
          view.setUint32(start + (block * LANES + lane) * 4, bitmap[lane]!, true);
        }
      }
      const end = start + chunkBytes((at - start - CHUNK_BITMAP_BYTES) / 2);
      out.fill(0, at, end);
      at = end;
      sizes[chunk] = end - start;
    }
    return at - begin;
  },

  decodeStrip(encoded, chunks, strip) {
    const stride = chunks * CHUNK_COLS;
    const bitmap = new Uint32Array(LANES);
    const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
    strip.fill(0);
    let at = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const start = at;
      at += CHUNK_BITMAP_BYTES;
      for (let block = 0; block < BLOCKS_PER_CHUNK; block++) {
        const corner = block * BLOCK_ROWS * stride + chunk * CHUNK_COLS;
        for (let lane = 0; lane < LANES; lane++) {
          bitmap[lane] = view.getUint32(start + (block * LANES + lane) * 4, true);
        }
        for (let i = 0; i < BLOCK_VALUES; i++) {
          if (((bitmap[ORDER_LANE[i]!]! >>> ORDER_BIT[i]!) & 1) === 0) continue;
          strip[corner + ORDER_ROW[i]! * stride + ORDER_COL[i]!] = view.getUint16(at, true);
          at += 2;
        }
      }
      at = start + chunkBytes((at - start - CHUNK_BITMAP_BYTES) / 2);
    }
  },
};
