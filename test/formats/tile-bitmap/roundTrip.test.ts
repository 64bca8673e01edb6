import { describe, expect, it } from "vitest";
import { plainKernels } from "../../../formats/tile-bitmap/chunks.ts";
import { ALIGN, VALUE_DTYPES } from "../../../formats/tile-bitmap/layout.ts";
import {
  checkPacked,
  type HalfMatrix,
  packMatrix,
  unpackMatrix,
} from "../../../formats/tile-bitmap/matrix.ts";
import { HALF_DTYPES } from "../../../src/core/dtype.ts";
import { createRandom } from "../../helpers/random.ts";
import { allKernels, wasmKernels } from "./kernels.ts";
import { randomMatrix } from "./matrices.ts";
import { oraclePack } from "./oracle.ts";

const everyPattern = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const equal = (a: ArrayBufferView, b: ArrayBufferView): boolean =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) === 0;

describe.each(allKernels)("the $name codec", (kernels) => {
  describe.each(HALF_DTYPES)("TB-13 with %s", (dtype) => {
    it.each([
      [256, 256],
      [1, 65_536],
      [65_536, 1],
    ])("gives back all 65,536 patterns as a %d × %d matrix", (rows, cols) => {
      const packed = packMatrix({ rows, cols, dtype, bits: everyPattern }, false, kernels);
      const meta = checkPacked(packed.payload, packed.meta, {}, { crc: true });
      expect(meta.dtype).toBe(dtype);
      expect(packed.nonzeros).toBe(65_535);
      expect(equal(unpackMatrix(meta, packed.payload, kernels), everyPattern)).toBe(true);
    });

    it("gives back all 65,536 patterns between zeros, with tails on both sides", () => {
      const [rows, cols] = [331, 397];
      const bits = new Uint16Array(rows * cols);
      for (let i = 0; i < 65_536; i++) bits[2 * i + ((i >> 3) & 1)] = i;
      const packed = packMatrix({ rows, cols, dtype, bits }, false, kernels);
      const meta = checkPacked(packed.payload, packed.meta, {}, { crc: true });
      expect(equal(unpackMatrix(meta, packed.payload, kernels), bits)).toBe(true);
    });
  });

  it("stores −0.0 and drops +0.0", () => {
    const bits = Uint16Array.of(0, 0x8000, 0, 0x3c00);
    expect(kernels.countNonzeros(bits)).toBe(2);
    expect(packMatrix({ rows: 2, cols: 2, dtype: "F16", bits }, false, kernels).nonzeros).toBe(2);
  });

  it("counts nonzeros of any length, over batches too", () => {
    const bits = new Uint16Array((1 << 20) + 13).fill(1);
    expect(
      [0, 1, 7, 8, 9, bits.length].map((n) => kernels.countNonzeros(bits.subarray(0, n))),
    ).toEqual([0, 1, 7, 8, 9, bits.length]);
  });

  it("TB-10 packs a fully dense chunk and an outlier column like any other", () => {
    const bits = new Uint16Array(64 * 128);
    for (let row = 0; row < 32; row++) bits.fill(0x3c00, row * 128, row * 128 + 64);
    for (let row = 32; row < 64; row++) bits[row * 128 + 100] = 0x7bff;
    const packed = packMatrix({ rows: 64, cols: 128, dtype: "F16", bits }, false, kernels);
    const meta = checkPacked(packed.payload, packed.meta, {}, { crc: true });
    expect([...meta.offsets].map((offset) => offset * ALIGN)).toEqual([0, 4352, 4608, 4864, 5184]);
    expect(packed.maxChunkNonzeros).toBe(2048);
    expect(unpackMatrix(meta, packed.payload, kernels)).toEqual(bits);
  });

  it("writes only what belongs to a strip, wherever it begins", () => {
    const strip = new Uint16Array(32 * 64).fill(7);
    const out = new Uint8Array(5000).fill(0xee);
    const sizes = new Uint32Array(1);
    expect(kernels.encodeStrip(strip.subarray(0), 1, out, 32, sizes)).toBe(4352);
    expect(sizes[0]).toBe(4352);
    expect(out.subarray(0, 32).every((byte) => byte === 0xee)).toBe(true);
    expect(out.subarray(32 + 4352).every((byte) => byte === 0xee)).toBe(true);
  });

  it("makes padding zero in memory that is not", () => {
    const strip = new Uint16Array(32 * 64);
    strip[0] = 1;
    const out = new Uint8Array(272).fill(0xee);
    kernels.encodeStrip(strip, 1, out, 0, new Uint32Array(1));
    expect([...out.subarray(256)]).toEqual([1, ...new Array<number>(15).fill(0)]);
  });

  it("leaves nothing of an earlier strip in one it decodes", () => {
    const empty = new Uint8Array(256);
    const strip = new Uint16Array(32 * 64).fill(9);
    kernels.decodeStrip(empty, 1, strip);
    expect(strip.every((value) => value === 0)).toBe(true);
  });
});

/** Sides around the edges of blocks, lanes and chunks, and some larger. */
function side(pick: number, spread: number): number {
  if (pick < 0.5) return 1 + Math.floor(spread * 40);
  if (pick < 0.8)
    return [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129][Math.floor(spread * 15)]!;
  return 1 + Math.floor(spread * 200);
}

describe("10,000 random matrices", () => {
  // the whole claim in one sweep: both codecs write what the specification says, and read it back
  it("are packed alike by both codecs and the oracle, and come back bit for bit", () => {
    let nonzeros = 0;
    for (let seed = 0; seed < 10_000; seed++) {
      const random = createRandom(seed);
      const large = seed % 1000 === 999;
      const rows = large ? 300 + random.int(300) : side(random.next(), random.next());
      const cols = large ? 300 + random.int(300) : side(random.next(), random.next());
      const sparsity = random.pick([0, 0.1, 0.5, 0.6, 0.9, 0.99, 1, random.next()]);
      const dtype = random.pick(HALF_DTYPES);
      const transposed = random.chance(0.3);
      const matrix = randomMatrix(random, rows, cols, sparsity, dtype);
      const kept = matrix.bits.slice();
      const oracle = oraclePack({ ...matrix, dtypeCode: VALUE_DTYPES[dtype], transposed });
      const decoded = allKernels.map((kernels) => {
        const packed = packMatrix(matrix, transposed, kernels);
        const meta = checkPacked(packed.payload, packed.meta, {}, { crc: true });
        const what = `seed ${seed}: ${rows} × ${cols}, ${kernels.name}`;
        if (!equal(packed.payload, oracle.payload)) expect.fail(`${what}: another payload`);
        if (!equal(packed.meta, oracle.meta)) expect.fail(`${what}: another weight_meta`);
        if (packed.nonzeros !== oracle.nonzeros) expect.fail(`${what}: another count`);
        if (meta.transposed !== transposed || meta.dtype !== dtype) expect.fail(what);
        return unpackMatrix(meta, packed.payload, kernels);
      });
      for (const bits of decoded) {
        if (!equal(bits, kept)) expect.fail(`seed ${seed}: ${rows} × ${cols} came back changed`);
      }
      if (!equal(matrix.bits, kept)) expect.fail(`seed ${seed}: the source was changed`);
      nonzeros += oracle.nonzeros;
    }
    expect(nonzeros).toBeGreaterThan(5_000_000); // the sweep is not of empty matrices
  }, 120_000);
});

describe("packMatrix", () => {
  const matrix: HalfMatrix = randomMatrix(createRandom(1), 70, 200, 0.5);

  it("gives the same bytes every time, whatever was packed before", () => {
    const first = packMatrix(matrix, false, wasmKernels);
    packMatrix(randomMatrix(createRandom(2), 320, 640, 0), false, wasmKernels);
    expect(packMatrix(matrix, false, wasmKernels)).toEqual(first);
  });

  it("reads payloads at odd addresses", () => {
    const { payload, meta } = packMatrix(matrix, false, plainKernels);
    const shifted = new Uint8Array(payload.length + meta.length + 3);
    shifted.set(payload, 1);
    shifted.set(meta, payload.length + 3);
    const payloadView = shifted.subarray(1, 1 + payload.length);
    const checked = checkPacked(
      payloadView,
      shifted.subarray(payload.length + 3),
      {},
      { crc: true },
    );
    for (const kernels of allKernels) {
      expect(unpackMatrix(checked, payloadView, kernels)).toEqual(matrix.bits);
    }
  });

  it("TB-09 measures the largest chunk, to within its padding", () => {
    const bits = new Uint16Array(64 * 64);
    bits.fill(1, 0, 37);
    const packed = packMatrix({ rows: 64, cols: 64, dtype: "F16", bits }, false, plainKernels);
    expect(packed.maxChunkNonzeros).toBe(40); // 37 in sixteens of bytes
  });

  it.each([
    [0, 4, 0],
    [4, 0, 0],
    [2, 3, 5],
    [2 ** 31, 1, 1],
    [1, 2 ** 31, 1],
  ])("refuses %d × %d with %d values", (rows, cols, length) => {
    const pack = (): unknown =>
      packMatrix({ rows, cols, dtype: "F16", bits: new Uint16Array(length) }, false, plainKernels);
    expect(pack).toThrow(
      expect.objectContaining({
        code: "E_SHAPE_UNSUPPORTED",
        message: `a ${rows} × ${cols} matrix of ${length} values cannot be packed`,
      }),
    );
  });

  it("TB-11 refuses more than 64 GiB before it allocates", () => {
    const [rows, cols] = [2 ** 18, 2 ** 17];
    const bits = { length: rows * cols } as Uint16Array;
    const counting = { ...plainKernels, countNonzeros: () => rows * cols };
    expect(() => packMatrix({ rows, cols, dtype: "F16", bits }, false, counting)).toThrow(
      expect.objectContaining({
        code: "E_SHAPE_UNSUPPORTED",
        message: expect.stringContaining("more than 64 GiB"),
      }),
    );
  });
});

describe("size", () => {
  it.each([0, 0.3, 0.5, 0.6, 0.7, 0.9, 1])(
    "stays within 2(1−s) + 0.1338 bytes a weight and 80 a matrix at sparsity %d",
    (sparsity) => {
      for (const [rows, cols] of [
        [32, 64],
        [64, 64],
        [256, 512],
        [576, 1536],
      ] as const) {
        const matrix = randomMatrix(createRandom(rows), rows, cols, sparsity);
        const { payload, meta, nonzeros } = packMatrix(matrix, false, wasmKernels);
        const weights = rows * cols;
        const stored = payload.length + meta.length;
        // 1 − s is exactly nonzeros / weights
        expect(stored).toBeLessThanOrEqual(2 * nonzeros + (274 / 2048) * weights + 80);
        expect(274 / 2048).toBeLessThanOrEqual(0.1338);
        if (weights >= 7 * 2048) {
          expect(stored).toBeLessThanOrEqual(2 * nonzeros + 0.14 * weights);
        }
      }
    },
  );

  it("is under a sixteenth of dense at the least, so that no small file asks for much memory", () => {
    const empty = { rows: 320, cols: 640, dtype: "F16" as const, bits: new Uint16Array(320 * 640) };
    const { payload, meta } = packMatrix(empty, false, wasmKernels);
    expect((payload.length + meta.length) * 16).toBeGreaterThan(320 * 640 * 2);
  });
});
