/** What SPEC.md says is true: its example, its test vectors, its slicing rules, its NumPy reader. */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { plainKernels } from "../../../formats/tile-bitmap/chunks.ts";
import { type Grid, gridOf, META } from "../../../formats/tile-bitmap/layout.ts";
import {
  checkPacked,
  type HalfMatrix,
  type PackedMatrix,
  packMatrix,
} from "../../../formats/tile-bitmap/matrix.ts";
import { type Meta, writeMeta } from "../../../formats/tile-bitmap/meta.ts";
import { ERROR_CODES } from "../../../src/core/errorCodes.ts";
import { describePython, runPython } from "../../helpers/python.ts";
import { createRandom, type Random } from "../../helpers/random.ts";
import { wasmKernels } from "./kernels.ts";
import { randomMatrix } from "./matrices.ts";
import { oracleCrc } from "./oracle.ts";

const spec = readFileSync(new URL("../../../formats/tile-bitmap/SPEC.md", import.meta.url), "utf8");

/** The content of the fenced block with this info string. */
function fenced(info: string): string {
  const parts = spec.split(`\n\`\`\`${info}\n`);
  if (parts.length !== 2) throw new Error(`SPEC.md has ${parts.length - 1} blocks "${info}"`);
  return parts[1]!.split("\n```")[0]!;
}

/** Rows of the table under the heading that begins with `heading`. */
function table(heading: string): string[][] {
  const section = spec.split(/\n## /).find((text) => text.startsWith(heading))!;
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe("the worked example", () => {
  const rows = table("4. Value order");
  const values = rows.map(([place, , bits, , gtmj, laneBit, position]) => ({
    place: place!.split(", ").map(Number) as [number, number],
    bits: Number.parseInt(bits!.replaceAll("`", ""), 16),
    gtmj: gtmj!.split(", ").map(Number) as [number, number, number, number],
    laneBit: laneBit!.split(", ").map(Number),
    position: Number(position),
  }));

  it("follows the formulas", () => {
    expect(values).toHaveLength(7);
    for (const { place, gtmj, laneBit } of values) {
      const [g, t, m, j] = gtmj;
      const row = place[0] % 16;
      expect([
        row % 8,
        place[1] >> 4,
        (place[1] >> 1) % 8,
        2 * (row >> 3) + (place[1] & 1),
      ]).toEqual(gtmj);
      expect([4 * g + t, 4 * m + j]).toEqual(laneBit);
    }
  });

  it("is packed to the test vectors, values at the positions it says", () => {
    const bits = new Uint16Array(21 * 20);
    for (const value of values) bits[value.place[0] * 20 + value.place[1]] = value.bits;
    const packed = packMatrix({ rows: 21, cols: 20, dtype: "F16", bits }, false, plainKernels);
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    expect(hex(packed.payload)).toBe(fenced("hex payload").replaceAll("\n", ""));
    expect(hex(packed.meta)).toBe(fenced("hex meta").replaceAll("\n", ""));
    const stored = new Uint16Array(packed.payload.slice(256).buffer);
    for (const { position, bits: value } of values) expect(stored[position]).toBe(value);
  });
});

describe("the tables", () => {
  it("give the header fields of layout.ts", () => {
    const offsets = table("6. weight_meta").map(([at]) => Number(at));
    expect(offsets).toEqual(Object.values(META));
  });

  it("name error codes that exist, each of tile-bitmap once or more", () => {
    const named = new Set(spec.match(/\bE_[A-Z_]+\b/g));
    for (const code of named) expect(ERROR_CODES).toHaveProperty(code);
    for (const code of Object.keys(ERROR_CODES).filter((name) => name.startsWith("E_TB_"))) {
      expect(named).toContain(code);
    }
  });

  it("number the rejections from 1 without a gap", () => {
    const numbers = table("9. What a reader must reject").map(([number]) => Number(number));
    expect(numbers).toEqual(Array.from({ length: 23 }, (_, i) => i + 1));
  });

  it("describe the CRC-32 that is used", () => {
    const digits = new TextEncoder().encode("123456789");
    expect(crc32(digits)).toBe(0xcbf4_3926);
    expect(oracleCrc(digits)).toBe(0xcbf4_3926);
    expect(spec).toContain("`0xCBF43926`");
  });
});

describe("slicing by section 10", () => {
  const matrix = randomMatrix(createRandom(5), 117, 300, 0.6, "BF16");
  const whole = packMatrix(matrix, false, plainKernels);
  const { offsets, grid } = checkPacked(whole.payload, whole.meta, {}, { crc: true });
  const range = (begin: number, end: number): Uint8Array =>
    whole.payload.subarray(16 * offsets[begin]!, 16 * offsets[end]!);

  it.each([
    [0, 1],
    [1, 3],
    [3, 4],
    [0, 4],
  ])("cuts strips %d up to %d", (a, b) => {
    const across = grid.chunksPerStrip;
    const first = offsets[a * across]!;
    const cut = offsets.slice(a * across, b * across + 1).map((offset) => offset - first);
    const part = crop(matrix, 32 * a, Math.min(32 * b, matrix.rows), 0, matrix.cols);
    expectSlice(part, [range(a * across, b * across)], cut);
  });

  it.each([
    [0, 1],
    [2, 4],
    [4, 5],
    [0, 5],
  ])("cuts chunk columns %d up to %d", (a, b) => {
    const across = grid.chunksPerStrip;
    const pieces: Uint8Array[] = [];
    const cut = [0];
    for (let strip = 0; strip < grid.strips; strip++) {
      pieces.push(range(strip * across + a, strip * across + b));
      for (let chunk = strip * across + a; chunk < strip * across + b; chunk++) {
        cut.push(cut.at(-1)! + offsets[chunk + 1]! - offsets[chunk]!);
      }
    }
    const part = crop(matrix, 0, matrix.rows, 64 * a, Math.min(64 * b, matrix.cols));
    expectSlice(part, pieces, Uint32Array.from(cut));
  });
});

/** What was cut without decoding equals what packing the part gives. */
function expectSlice(part: HalfMatrix, pieces: Uint8Array[], offsets: Uint32Array): void {
  const payload = new Uint8Array(Buffer.concat(pieces));
  const expected = packMatrix(part, false, plainKernels);
  const meta = writeMeta({
    grid: gridOf(part.rows, part.cols) satisfies Grid,
    dtype: part.dtype,
    transposed: false,
    nonzeros: expected.nonzeros,
    payloadCrc: crc32(payload),
    offsets,
  } satisfies Omit<Meta, "payloadBytes">);
  expect(payload).toEqual(expected.payload);
  expect(meta).toEqual(expected.meta);
}

function crop(
  { cols, bits, dtype }: HalfMatrix,
  top: number,
  bottom: number,
  left: number,
  right: number,
): HalfMatrix {
  const part = new Uint16Array((bottom - top) * (right - left));
  for (let row = top; row < bottom; row++) {
    part.set(bits.subarray(row * cols + left, row * cols + right), (row - top) * (right - left));
  }
  return { rows: bottom - top, cols: right - left, dtype, bits: part };
}

const reader = fenced("python");

describe("the NumPy reader", () => {
  it("has at most 20 lines", () => {
    const lines = reader.split("\n").filter((line) => line.trim() !== "");
    expect(lines.length).toBeLessThanOrEqual(20);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  });
});

interface Sample {
  readonly matrix: HalfMatrix;
  readonly transposed: boolean;
  readonly packed: PackedMatrix;
}

function samples(random: Random): Sample[] {
  const shapes = [
    ...[
      [1, 1],
      [21, 20],
      [32, 64],
      [33, 65],
      [16, 64],
      [64, 128],
      [31, 63],
      [100, 1],
      [1, 200],
    ],
    ...[
      [96, 256],
      [40, 70],
      [257, 130],
    ],
    ...Array.from({ length: 60 }, () => [1 + random.int(120), 1 + random.int(200)]),
  ] as [number, number][];
  return shapes.map(([rows, cols], i) => {
    const dtype = i % 2 === 0 ? "F16" : "BF16";
    const matrix = randomMatrix(random, rows, cols, random.pick([0, 0.5, 0.6, 0.95, 1]), dtype);
    const transposed = i % 3 === 0;
    return { matrix, transposed, packed: packMatrix(matrix, transposed, wasmKernels) };
  });
}

/** Reads frames of (payload size, payload, meta size, meta); answers with shape, dtype and bits. */
const DRIVER = `
import struct, sys
frames = sys.stdin.buffer
while size := frames.read(4):
    payload = frames.read(struct.unpack("<I", size)[0])
    meta = frames.read(struct.unpack("<I", frames.read(4))[0])
    tensor = read_tile_bitmap(payload, meta)
    if tensor.dtype == np.float16:
        bits = tensor.view("<u2")
    else:
        wide = tensor.view("<u4")
        assert tensor.dtype == np.float32 and not (wide & 0xffff).any()
        bits = (wide >> 16).astype("<u2")
    sys.stdout.buffer.write(struct.pack("<II", *tensor.shape) + np.ascontiguousarray(bits).tobytes())
`;

function frame(bytes: Uint8Array): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes.length);
  return Buffer.concat([size, bytes]);
}

describePython("the NumPy reader, run", () => {
  it("gives back what was packed: all shapes, both dtypes, transposed too", () => {
    const all = samples(createRandom(21));
    const input = Buffer.concat(
      all.flatMap(({ packed }) => [frame(packed.payload), frame(packed.meta)]),
    );
    const output = runPython(`${reader}\n${DRIVER}`, [], { input });
    let at = 0;
    for (const { matrix, transposed } of all) {
      const dense = transposed ? transpose(matrix) : matrix;
      expect([output.readUInt32LE(at), output.readUInt32LE(at + 4)]).toEqual([
        dense.rows,
        dense.cols,
      ]);
      const end = at + 8 + dense.bits.length * 2;
      expect(output.subarray(at + 8, end).equals(Buffer.from(dense.bits.buffer))).toBe(true);
      at = end;
    }
    expect(at).toBe(output.length);
  }, 60_000);

  it("gives back all 65,536 patterns", () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    for (const dtype of ["F16", "BF16"] as const) {
      const packed = packMatrix({ rows: 256, cols: 256, dtype, bits }, false, wasmKernels);
      const input = Buffer.concat([frame(packed.payload), frame(packed.meta)]);
      const output = runPython(`${reader}\n${DRIVER}`, [], { input });
      expect(output.subarray(8).equals(Buffer.from(bits.buffer))).toBe(true);
    }
  }, 60_000);
});

function transpose({ rows, cols, dtype, bits }: HalfMatrix): HalfMatrix {
  const turned = new Uint16Array(bits.length);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) turned[col * rows + row] = bits[row * cols + col]!;
  }
  return { rows: cols, cols: rows, dtype, bits: turned };
}
