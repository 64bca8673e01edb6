import { describe, expect, it } from "vitest";
import { decodeGguf } from "../../../formats/gguf/decode.ts";
import { DEQUANTIZERS } from "../../../formats/gguf/dequant/index.ts";
import { TENSOR_TYPES, type TensorType } from "../../../formats/gguf/types.ts";
import type { Encoding, TensorEntry } from "../../../src/core/archive.ts";
import type { WeightDtype } from "../../../src/core/dtype.ts";
import { castFloats } from "../../../src/core/half.ts";
import { createRandom } from "../../helpers/random.ts";
import { randomBlocks } from "./blocks.ts";

const TYPES = Object.keys(TENSOR_TYPES) as TensorType[];

interface Asked {
  readonly type: TensorType;
  readonly dtype: WeightDtype;
  readonly shape: readonly number[];
  readonly permuteHeads?: number;
  readonly subtractOne?: true;
}

function decode({ dtype, shape, ...rest }: Asked, ...stored: Uint8Array[]) {
  const entry: TensorEntry & { encoding: Encoding } = {
    name: "w",
    dtype,
    shape,
    extents: [],
    encoding: { format: "gguf", ...rest },
    stored: rest.type,
  };
  return decodeGguf(entry, stored);
}

const floatsOf = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);
const halvesOf = (bytes: Uint8Array) => new Uint16Array(new Uint8Array(bytes).buffer);
const bytesOf = (values: ArrayLike<number>) => new Uint8Array(Float32Array.from(values).buffer);
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Another way to write llama.cpp's reordering: reshape(heads, 2, half), swap the last two. */
function permuteRows(rows: readonly number[][], heads: number): number[][] {
  const half = rows.length / heads / 2;
  return range(heads).flatMap((head) =>
    range(half).flatMap((i) => range(2).map((side) => rows[(head * 2 + side) * half + i]!)),
  );
}

describe("decodeGguf", () => {
  it.each(TYPES)("gives %s the values of its dequantiser, over many runs of scratch", (type) => {
    const { blockWeights } = TENSOR_TYPES[type];
    const rows = 300;
    const cols = 256 * 3;
    const blocks = randomBlocks(type, (rows * cols) / blockWeights, createRandom(3));
    const expected = new Float32Array(rows * cols);
    DEQUANTIZERS[type](blocks, 0, expected, expected.length);
    const found = decode({ type, dtype: "F32", shape: [rows, cols] }, blocks);
    expect(Buffer.compare(found.bytes, new Uint8Array(expected.buffer))).toBe(0);
    for (const dtype of ["F16", "BF16"] as const) {
      if (type === dtype) continue;
      const halves = new Uint16Array(expected.length);
      const counts = castFloats(expected, dtype, halves);
      const { bytes, ...found } = decode({ type, dtype, shape: [rows, cols] }, blocks);
      expect(Buffer.compare(bytes, new Uint8Array(halves.buffer))).toBe(0);
      expect(found).toEqual(counts);
    }
  });

  it.each(["F16", "BF16"] as const)("keeps all 65,536 patterns of %s as they are", (type) => {
    const patterns = Uint16Array.from(range(65_536));
    const stored = new Uint8Array(patterns.buffer);
    const { bytes } = decode({ type, dtype: type, shape: [256, 256] }, stored);
    expect(Buffer.compare(bytes, stored)).toBe(0);
    expect(bytes.buffer).not.toBe(stored.buffer);
    const permuted = decode({ type, dtype: type, shape: [256, 256], permuteHeads: 4 }, stored);
    expect([...halvesOf(permuted.bytes)].sort((a, b) => a - b)).toEqual([...patterns]);
  });

  it.each([
    [1, 2],
    [1, 8],
    [4, 16],
    [3, 24],
  ])("puts the rows of %d heads, %d in all, back in order", (heads, count) => {
    const rows = range(count).map((row) => range(32).map((col) => row * 32 + col));
    const stored = bytesOf(permuteRows(rows, heads).flat());
    const asked = { type: "F32", dtype: "F32", shape: [count, 32], permuteHeads: heads } as const;
    expect([...floatsOf(decode(asked, stored).bytes)]).toEqual(rows.flat());
    const half = decode({ ...asked, dtype: "F16" }, stored);
    expect(half.bytes.length).toBe(count * 32 * 2);
    expect(halvesOf(half.bytes)[1]).toBe(0x3c00);
  });

  it("puts the elements of a bias of heads back in order", () => {
    const stored = bytesOf([0, 2, 1, 3, 4, 6, 5, 7]);
    const asked = { type: "F32", dtype: "F32", shape: [8], permuteHeads: 2 } as const;
    expect([...floatsOf(decode(asked, stored).bytes)]).toEqual(range(8));
  });

  it("takes the one of Gemma's norms away in binary32", () => {
    const weights = [0, 1, 1.5, 1 + 2 ** -23, 3.4e38];
    const asked = { type: "F32", shape: [5], subtractOne: true } as const;
    const found = floatsOf(decode({ ...asked, dtype: "F32" }, bytesOf(weights)).bytes);
    expect([...found]).toEqual(weights.map((weight) => Math.fround(Math.fround(weight) - 1)));
    const { bytes, overflowed } = decode({ ...asked, dtype: "F16" }, bytesOf(weights));
    expect(halvesOf(bytes)[2]).toBe(0x3800);
    expect(overflowed).toBe(1);
  });

  it("counts what overflows and what underflows", () => {
    const values = [65_519, 65_520, -1e30, Number.POSITIVE_INFINITY, 1e-9, 2 ** -24, 0, -0];
    const asked = { type: "F32", dtype: "F16", shape: [8] } as const;
    expect(decode(asked, bytesOf(values))).toMatchObject({ overflowed: 2, underflowed: 1 });
  });

  it("takes tensors without elements, and scalars", () => {
    for (const dtype of ["F32", "F16"] as const) {
      const empty = decode({ type: "Q8_0", dtype, shape: [4, 0] }, new Uint8Array(0));
      expect(empty.bytes).toHaveLength(0);
    }
    expect(decode({ type: "F32", dtype: "F32", shape: [] }, bytesOf([7])).bytes).toHaveLength(4);
  });

  it("GG-11 refuses another number of bytes than the shape takes, and reads none beside them", () => {
    const asked = { type: "Q4_1", dtype: "F16", shape: [4, 64] } as const;
    const size = (4 * 64 * 20) / 32;
    for (const stored of [[], [new Uint8Array(size - 1)], [new Uint8Array(size + 1)]]) {
      expect(() => decode(asked, ...stored)).toThrow(
        expect.objectContaining({ code: "E_GGUF_TRUNCATED" }),
      );
    }
    expect(() => decode(asked, new Uint8Array(size), new Uint8Array(0))).toThrow("takes 160 bytes");
    // 0xA5A5 as fp16 is -0.02203: nothing of the surroundings may show
    for (const type of TYPES) {
      const { blockWeights, blockBytes } = TENSOR_TYPES[type];
      const own = 6 * (256 / blockWeights) * blockBytes;
      const around = new Uint8Array(own + 2000).fill(0xa5);
      const tensor = around.subarray(1001, 1001 + own).fill(0);
      for (const extra of [{}, { permuteHeads: 3 }]) {
        const { bytes } = decode({ type, dtype: "F32", shape: [6, 256], ...extra }, tensor);
        expect(bytes).toHaveLength(6 * 256 * 4);
        expect(bytes.buffer.byteLength).toBe(bytes.length);
        expect(floatsOf(bytes).every((value) => value === 0)).toBe(true);
      }
    }
  });

  it("refuses what the reader did not write", () => {
    const internal = expect.objectContaining({ code: "E_INTERNAL" });
    const stored = new Uint8Array(64);
    expect(() => decode({ type: "Q9" as TensorType, dtype: "F16", shape: [32] }, stored)).toThrow(
      internal,
    );
    expect(() =>
      decode({ type: "F32", dtype: "F16", shape: [16], permuteHeads: 0 }, stored),
    ).toThrow(internal);
    expect(() =>
      decode({ type: "F32", dtype: "F16", shape: [16], permuteHeads: 5 }, stored),
    ).toThrow(internal);
    expect(() => decode({ type: "Q8_0", dtype: "F16", shape: [16] }, stored)).toThrow(internal);
    expect(() => decode({ type: "F32", dtype: "U8" as WeightDtype, shape: [16] }, stored)).toThrow(
      internal,
    );
  });
});
