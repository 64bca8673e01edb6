import { describe, expect, it } from "vitest";
import {
  ALIGN,
  CHUNK_BITMAP_BYTES,
  CHUNK_COLS,
  CHUNK_ROWS,
  chunkBytes,
  gridOf,
  MAX_CHUNK_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_SIDE,
  metaBytes,
  payloadBound,
  VALUE_ORDER,
} from "../../../formats/tile-bitmap/layout.ts";

describe("the order of bits and values", () => {
  it("gives every weight of a block one bit, and every bit one weight", () => {
    expect(new Set(VALUE_ORDER.map(({ row, col }) => row * 64 + col)).size).toBe(1024);
    expect(new Set(VALUE_ORDER.map(({ lane, bit }) => lane * 32 + bit)).size).toBe(1024);
    for (const { lane, bit, row, col } of VALUE_ORDER) {
      expect(lane >= 0 && lane < 32 && bit >= 0 && bit < 32).toBe(true);
      expect(row >= 0 && row < 16 && col >= 0 && col < 64).toBe(true);
    }
  });

  it("is that of the specification, read from the weight to the bit", () => {
    for (const { lane, bit, row, col } of VALUE_ORDER) {
      const g = row % 8;
      const t = col >> 4;
      const m = (col >> 1) % 8;
      const j = 2 * (row >> 3) + (col & 1);
      expect([lane, bit]).toEqual([4 * g + t, 4 * m + j]);
    }
  });

  it("feeds mma.m16n8k16: register and half of each bit are those the kernel reads", () => {
    for (const { lane, bit, row, col } of VALUE_ORDER) {
      const [g, t, m, j] = [lane >> 2, lane & 3, bit >> 2, bit & 3];
      const register = 2 * (m & 1) + (j >> 1);
      const half = j & 1;
      // a0 and a2 are row g, a1 and a3 row g + 8; a0, a1 the lower pair of k, a2, a3 the upper
      expect(row).toBe(g + 8 * (register & 1));
      expect(col).toBe(16 * t + 4 * (m >> 1) + 2 * (register >> 1) + half);
    }
  });

  it("runs plane by plane, then by t, g and j", () => {
    const keys = VALUE_ORDER.map(({ lane, bit }) => {
      return (((bit >> 2) * 4 + (lane & 3)) * 8 + (lane >> 2)) * 4 + (bit & 3);
    });
    expect(keys).toEqual(Array.from({ length: 1024 }, (_, i) => i));
  });
});

describe("sizes", () => {
  it("rounds chunks up to 16 bytes, from 256 empty to 4352 dense", () => {
    expect([0, 1, 8, 9, 2048].map(chunkBytes)).toEqual([256, 272, 272, 288, 4352]);
    expect(MAX_CHUNK_BYTES).toBe(4352);
    for (let values = 0; values <= 2048; values++) {
      const spare = chunkBytes(values) - CHUNK_BITMAP_BYTES - 2 * values;
      expect(spare >= 0 && spare < ALIGN && chunkBytes(values) % ALIGN === 0).toBe(true);
    }
  });

  it.each([
    [1, 1, 1, 1],
    [32, 64, 1, 1],
    [33, 64, 2, 1],
    [32, 65, 1, 2],
    [80, 150, 3, 3],
    [28_672, 8192, 896, 128],
    [MAX_SIDE, MAX_SIDE, 67_108_864, 33_554_432],
  ])("cuts %d × %d into %d strips of %d chunks", (rows, cols, strips, chunksPerStrip) => {
    expect(gridOf(rows, cols)).toEqual({
      rows,
      cols,
      strips,
      chunksPerStrip,
      chunks: strips * chunksPerStrip,
    });
    expect(strips * CHUNK_ROWS >= rows && chunksPerStrip * CHUNK_COLS >= cols).toBe(true);
  });

  it("counts header, offsets and padding of weight_meta", () => {
    // 64 + 4 × (chunks + 1), in sixteens
    expect([1, 2, 3, 4, 12].map((strips) => metaBytes(gridOf(32 * strips, 64)))).toEqual([
      80, 80, 80, 96, 128,
    ]);
  });

  it("bounds a payload by its nonzeros, exactly where every chunk is dense or empty", () => {
    const grid = gridOf(64, 128);
    expect(payloadBound(grid, 64 * 128)).toBe(4 * MAX_CHUNK_BYTES);
    expect(payloadBound(gridOf(32, 64), 0)).toBe(256);
    expect(payloadBound(gridOf(32, 64), 1)).toBe(272);
  });

  it("TB-11 holds 64 GiB less 16 bytes a matrix", () => {
    expect(MAX_PAYLOAD_BYTES).toBe(64 * 2 ** 30 - 16);
  });
});
