/**
 * Every fact of the tile-bitmap byte layout: geometry, bit order, value order, header fields.
 * The words for it stand in ./SPEC.md; the encoders, decoders and tests take it from here.
 */
import type { HalfDtype } from "../../src/core/dtype.ts";

/** A block is what one warp feeds to m16n8k16 in four k-steps. */
export const BLOCK_ROWS = 16;
/** A chunk is two blocks, one above the other; it is what a kernel copies at once. */
export const BLOCKS_PER_CHUNK = 2;
export const CHUNK_ROWS: number = BLOCK_ROWS * BLOCKS_PER_CHUNK;
export const CHUNK_COLS = 64;
export const BLOCK_VALUES: number = BLOCK_ROWS * CHUNK_COLS;
export const CHUNK_VALUES: number = CHUNK_ROWS * CHUNK_COLS;

/** Lanes of a warp; each owns one 32-bit bitmap word of a block. */
export const LANES = 32;
export const BLOCK_BITMAP_BYTES: number = LANES * 4;
/** Values start here in a chunk; both bitmaps come first. */
export const CHUNK_BITMAP_BYTES: number = BLOCK_BITMAP_BYTES * BLOCKS_PER_CHUNK;
/** Chunks start and end on multiples of this, and offsets count in it (cp.async.bulk needs 16). */
export const ALIGN = 16;
export const MAX_CHUNK_BYTES: number = CHUNK_BITMAP_BYTES + CHUNK_VALUES * 2;

/** Nibble planes of a block: the columns 16t + 2m and 16t + 2m + 1 of every t form plane m. */
export const PLANES = 8;
const COLS_PER_LANE = 16;
const LANE_GROUPS = 8;

/** Where one bit of a block's bitmap is, and which weight of the block it stands for. */
export interface BitPlace {
  readonly lane: number;
  readonly bit: number;
  readonly row: number;
  readonly col: number;
}

/**
 * The 1024 places of a block in value order: plane m, then t, then g, then j.
 * Lane (g, t) is 4g + t; bit 4m + j stands for row g + 8(j >> 1), column 16t + 2m + (j & 1).
 */
export const VALUE_ORDER: readonly BitPlace[] = makeValueOrder();

function makeValueOrder(): BitPlace[] {
  const places: BitPlace[] = [];
  for (let m = 0; m < PLANES; m++) {
    for (let t = 0; t < CHUNK_COLS / COLS_PER_LANE; t++) {
      for (let g = 0; g < LANE_GROUPS; g++) {
        for (let j = 0; j < 4; j++) {
          places.push({
            lane: 4 * g + t,
            bit: 4 * m + j,
            row: g + 8 * (j >> 1),
            col: COLS_PER_LANE * t + 2 * m + (j & 1),
          });
        }
      }
    }
  }
  return places;
}

/** Bytes of a chunk with that many stored values, padding included. */
export function chunkBytes(values: number): number {
  return Math.ceil((CHUNK_BITMAP_BYTES + 2 * values) / ALIGN) * ALIGN;
}

export interface Grid {
  readonly rows: number;
  readonly cols: number;
  /** Rows of chunks. */
  readonly strips: number;
  /** Chunks in a strip. */
  readonly chunksPerStrip: number;
  readonly chunks: number;
}

export function gridOf(rows: number, cols: number): Grid {
  const strips = Math.ceil(rows / CHUNK_ROWS);
  const chunksPerStrip = Math.ceil(cols / CHUNK_COLS);
  return { rows, cols, strips, chunksPerStrip, chunks: strips * chunksPerStrip };
}

/** Largest rows and cols: a header field holds them in 31 bits. */
export const MAX_SIDE = 2 ** 31 - 1;
/** Offsets are u32 in units of ALIGN: 64 GiB a matrix. */
export const MAX_PAYLOAD_BYTES: number = (2 ** 32 - 1) * ALIGN;

/** Most bytes that a payload with `nonzeros` stored values can take: every chunk padded fully. */
export function payloadBound(grid: Grid, nonzeros: number): number {
  const values = 2 * Math.min(nonzeros, grid.rows * grid.cols);
  const padding = grid.chunks * (ALIGN - 2);
  const bound = grid.chunks * CHUNK_BITMAP_BYTES + values + padding;
  return Math.min(Math.floor(bound / ALIGN) * ALIGN, grid.chunks * MAX_CHUNK_BYTES);
}

/** Bytes of the weight_meta tensor: header, chunks + 1 offsets, zeros to a multiple of ALIGN. */
export function metaBytes(grid: Grid): number {
  return Math.ceil((META.bytes + 4 * (grid.chunks + 1)) / ALIGN) * ALIGN;
}

export const META_MAGIC = "SPTILEBM";
export const VERSION_MAJOR = 1;
export const VERSION_MINOR = 0;

/** Byte offsets of the weight_meta header; all fields little-endian. */
export const META = {
  magic: 0, // 8 bytes, ASCII
  versionMajor: 8, // u16
  versionMinor: 10, // u16
  valueDtype: 12, // u8, see VALUE_DTYPES
  valueOrder: 13, // u8, see VALUE_ORDERS
  scaleKind: 14, // u8, 0 = no scales
  flags: 15, // u8, see FLAG_*
  rows: 16, // u32
  cols: 20, // u32
  chunkRows: 24, // u16
  chunkCols: 26, // u16
  headerBytes: 28, // u32
  nonzeros: 32, // u64
  payloadBytes: 40, // u64
  chunks: 48, // u32
  reserved: 52, // u32, 0
  payloadCrc: 56, // u32, CRC-32 of the payload
  metaCrc: 60, // u32, CRC-32 of the whole weight_meta with this field 0
  bytes: 64,
} as const;

/** Codes of `valueDtype`. 16 and up are reserved for one-byte values with scales. */
export const VALUE_DTYPES: Readonly<Record<HalfDtype, number>> = { F16: 1, BF16: 2 };
/** Codes of `valueOrder`: 1 = nibble planes. 2 is reserved for byte planes of one-byte values. */
export const ORDER_NIBBLE_PLANES = 1;
/** The dense tensor is [cols, rows]: the weight is stored inputs first (GPT-2's Conv1D). */
export const FLAG_TRANSPOSED = 1;
