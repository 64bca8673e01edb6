/** What a reader must reject, by the numbers of SPEC.md section 9 and the ids of the fault table. */
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { plainKernels } from "../../../formats/tile-bitmap/chunks.ts";
import { META } from "../../../formats/tile-bitmap/layout.ts";
import { checkPacked, packMatrix } from "../../../formats/tile-bitmap/matrix.ts";
import { createRandom } from "../../helpers/random.ts";
import { randomMatrix } from "./matrices.ts";

interface Parts {
  payload: Uint8Array;
  meta: Uint8Array;
}

/** 2 × 2 chunks with tails on both sides; 40 × 70. */
const good: Parts = packMatrix(randomMatrix(createRandom(7), 40, 70, 0.5), false, plainKernels);
const copy = ({ payload, meta }: Parts): Parts => ({
  payload: payload.slice(),
  meta: meta.slice(),
});
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset);

/** Both CRCs made right again, so that structure alone has to find the fault. */
function forge(parts: Parts): Parts {
  if (parts.meta.length < META.bytes) return parts;
  view(parts.meta).setUint32(META.payloadCrc, crc32(parts.payload), true);
  view(parts.meta).setUint32(META.metaCrc, 0, true);
  view(parts.meta).setUint32(META.metaCrc, crc32(parts.meta), true);
  return parts;
}

function check(parts: Parts, crc = true): unknown {
  const origin = { path: "model.safetensors", tensor: "a.weight" };
  return checkPacked(parts.payload, parts.meta, origin, { crc });
}

function expectRejected(parts: Parts, code: string, reason: string, crc = true): void {
  expect(() => check(parts, crc)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(reason) }),
  );
}

const setMeta =
  (size: 8 | 16 | 32, at: number, value: number) =>
  ({ meta }: Parts): void => {
    if (size === 8) view(meta).setUint8(at, value);
    else if (size === 16) view(meta).setUint16(at, value, true);
    else view(meta).setUint32(at, value, true);
  };
const offsetAt = (index: number): number => META.bytes + 4 * index;
const offset = (parts: Parts, index: number): number =>
  view(parts.meta).getUint32(offsetAt(index), true);
const addToOffset =
  (index: number, units: number) =>
  (parts: Parts): void =>
    view(parts.meta).setUint32(offsetAt(index), offset(parts, index) + units, true);

describe("the matrix that is damaged below", () => {
  it("is accepted as it is, and forging its CRCs changes nothing", () => {
    expect(() => check(good)).not.toThrow();
    expect(forge(copy(good))).toEqual({ payload: good.payload, meta: good.meta });
  });
});

describe("a header with right CRCs", () => {
  it.each<[string, (parts: Parts) => void, string, string]>([
    [
      "1 shorter than a header",
      (p) => {
        p.meta = p.meta.slice(0, 63);
      },
      "E_TB_LAYOUT",
      "weight_meta has 63 bytes",
    ],
    [
      "1 of no bytes",
      (p) => {
        p.meta = p.meta.slice(0, 0);
      },
      "E_TB_LAYOUT",
      "weight_meta has 0 bytes",
    ],
    [
      "TB-01 2 of another magic",
      setMeta(8, META.magic, 0x73),
      "E_TB_LAYOUT",
      "does not begin with its magic",
    ],
    [
      "TB-01 3 of a newer minor version",
      setMeta(16, META.versionMinor, 1),
      "E_TB_VERSION",
      "version 1.1 is not supported",
    ],
    [
      "TB-01 3 of a newer major version",
      setMeta(16, META.versionMajor, 2),
      "E_TB_VERSION",
      "version 2.0 is not supported",
    ],
    [
      "TB-01 3 of version 0",
      setMeta(16, META.versionMajor, 0),
      "E_TB_VERSION",
      "version 0.0 is not supported",
    ],
    ["4 of value dtype 0", setMeta(8, META.valueDtype, 0), "E_TB_LAYOUT", "value dtype code 0"],
    [
      "4 of the reserved value dtype int8",
      setMeta(8, META.valueDtype, 16),
      "E_TB_LAYOUT",
      "value dtype code 16",
    ],
    [
      "4 of the reserved order of byte planes",
      setMeta(8, META.valueOrder, 2),
      "E_TB_LAYOUT",
      "value order code 2",
    ],
    ["4 with row scales", setMeta(8, META.scaleKind, 1), "E_TB_LAYOUT", "scale kind 1"],
    ["5 with an unknown flag", setMeta(8, META.flags, 2), "E_TB_LAYOUT", "flags 2"],
    [
      "5 with a reserved field in use",
      setMeta(32, META.reserved, 1),
      "E_TB_LAYOUT",
      "a reserved field is not zero",
    ],
    ["TB-02 6 of no rows", setMeta(32, META.rows, 0), "E_TB_LAYOUT", "shape 0 × 70"],
    ["TB-02 6 of no columns", setMeta(32, META.cols, 0), "E_TB_LAYOUT", "shape 40 × 0"],
    [
      "TB-02 6 of 2³¹ rows",
      setMeta(32, META.rows, 2 ** 31),
      "E_TB_LAYOUT",
      "shape 2147483648 × 70",
    ],
    [
      "TB-02 6 of 2³² − 1 columns",
      setMeta(32, META.cols, 2 ** 32 - 1),
      "E_TB_LAYOUT",
      "shape 40 × 4294967295",
    ],
    [
      "TB-02 7 of chunks with no rows",
      setMeta(16, META.chunkRows, 0),
      "E_TB_LAYOUT",
      "chunks of 0 × 64",
    ],
    [
      "TB-02 7 of chunks of 64 × 64",
      setMeta(16, META.chunkRows, 64),
      "E_TB_LAYOUT",
      "chunks of 64 × 64",
    ],
    [
      "TB-02 7 of chunks of 32 × 128",
      setMeta(16, META.chunkCols, 128),
      "E_TB_LAYOUT",
      "chunks of 32 × 128",
    ],
    [
      "7 that says it is longer",
      setMeta(32, META.headerBytes, 80),
      "E_TB_LAYOUT",
      "a header of 80 bytes",
    ],
    ["8 with too few chunks", setMeta(32, META.chunks, 3), "E_TB_LAYOUT", "3 chunks for 40 × 70"],
    ["8 of another shape", setMeta(32, META.rows, 70), "E_TB_LAYOUT", "4 chunks for 70 × 70"],
    [
      "9 cut short",
      (p) => {
        p.meta = p.meta.slice(0, -16);
      },
      "E_TB_LAYOUT",
      "weight_meta has 80 bytes",
    ],
    [
      "9 with more behind it",
      (p) => {
        p.meta = Uint8Array.from([...p.meta, 0]);
      },
      "E_TB_LAYOUT",
      "weight_meta has 97 bytes",
    ],
    [
      "TB-11 10 of over 64 GiB",
      (p) => view(p.meta).setBigUint64(META.payloadBytes, 2n ** 36n, true),
      "E_TB_COUNT",
      "a payload size of 68719476736",
    ],
    [
      "TB-11 10 of 2⁶⁴ − 1 nonzeros",
      (p) => view(p.meta).setBigUint64(META.nonzeros, 2n ** 64n - 1n, true),
      "E_TB_COUNT",
      "a count of nonzeros of 18446744073709551615",
    ],
    [
      "10 of more nonzeros than weights",
      setMeta(32, META.nonzeros, 2801),
      "E_TB_COUNT",
      "2801 nonzeros in a 40 × 70 matrix",
    ],
    [
      "TB-03 11 whose first offset is 1",
      setMeta(32, offsetAt(0), 1),
      "E_TB_OFFSETS",
      "the first offset is 1",
    ],
    [
      "TB-03 11 whose offsets stand still",
      (p) => setMeta(32, offsetAt(2), offset(p, 1))(p),
      "E_TB_OFFSETS",
      "chunk 1 (rows 0..31, columns 64..69) has 0 bytes",
    ],
    [
      "TB-03 11 whose offsets fall",
      (p) => setMeta(32, offsetAt(2), offset(p, 1) - 1)(p),
      "E_TB_OFFSETS",
      "chunk 1 (rows 0..31, columns 64..69) has -16 bytes",
    ],
    [
      "TB-03 11 with a chunk over the largest",
      (p) => setMeta(32, offsetAt(1), 273)(p),
      "E_TB_OFFSETS",
      "has 4368 bytes",
    ],
    [
      "TB-03 11 with a chunk too small for its bitmaps",
      (p) => setMeta(32, offsetAt(1), 15)(p),
      "E_TB_OFFSETS",
      "has 240 bytes",
    ],
    [
      "TB-04 12 whose offsets end beyond the payload",
      addToOffset(4, 1),
      "E_TB_COUNT",
      "the offsets end at",
    ],
    [
      "TB-04 12 whose offsets end before the payload",
      setMeta(32, META.payloadBytes, good.payload.length + 16),
      "E_TB_COUNT",
      "the offsets end at",
    ],
    [
      "TB-08 13 with padding that is not zero",
      setMeta(8, 95, 1),
      "E_TB_PADDING",
      "weight_meta byte 95 is padding but not zero",
    ],
    [
      "TB-04 20 with fewer nonzeros than are stored",
      (p) => setMeta(32, META.nonzeros, view(p.meta).getUint32(META.nonzeros, true) - 1)(p),
      "E_TB_COUNT",
      "nonzeros are declared",
    ],
    [
      "TB-04 20 with more nonzeros than are stored",
      (p) => setMeta(32, META.nonzeros, view(p.meta).getUint32(META.nonzeros, true) + 1)(p),
      "E_TB_COUNT",
      "nonzeros are declared",
    ],
  ])("%s", (_, damage, code, reason) => {
    const parts = copy(good);
    damage(parts);
    expectRejected(forge(parts), code, reason);
  });

  it("TB-01 states the greatest version it supports", () => {
    const parts = copy(good);
    setMeta(16, META.versionMinor, 9)(parts);
    expect(() => check(forge(parts))).toThrow(
      expect.objectContaining({
        message: "model.safetensors: a.weight: tile-bitmap version 1.9 is not supported",
        detail: expect.objectContaining({
          expected: "version 1.0 to 1.0",
          hint: "use a newer SpInfer to read this checkpoint",
        }),
      }),
    );
  });

  it("TB-11 does not take a count over 2³¹ or 2⁵³ for a small one", () => {
    for (const nonzeros of [2n ** 31n, 2n ** 32n, 2n ** 32n + 1400n, 2n ** 53n + 1n]) {
      const parts = copy(good);
      view(parts.meta).setBigUint64(META.nonzeros, nonzeros, true);
      expectRejected(forge(parts), "E_TB_COUNT", `${nonzeros}`);
    }
  });

  it("TB-09 has no field for the largest chunk that a file could lie in", () => {
    const fields = Object.keys(META);
    expect(fields.filter((field) => /max|largest/i.test(field))).toEqual([]);
  });

  it("refuses a shape whose offsets would not fit in memory without making room for them", () => {
    const parts = copy(good);
    view(parts.meta).setUint32(META.rows, 2 ** 31 - 1, true);
    view(parts.meta).setUint32(META.cols, 2 ** 31 - 1, true);
    expectRejected(forge(parts), "E_TB_LAYOUT", "4 chunks for 2147483647 × 2147483647");
  });
});

describe("a payload", () => {
  it.each([-16, -1, 1, 16])("TB-05 15 is refused with %d bytes too many", (extra) => {
    const parts = copy(good);
    const changed = new Uint8Array(good.payload.length + extra);
    changed.set(good.payload.subarray(0, changed.length));
    parts.payload = changed;
    expectRejected(forge(parts), "E_TB_ALIGN", `the payload has ${changed.length} bytes`);
  });

  it("TB-06 16 is refused, with the chunk's place, where offsets move bytes between chunks", () => {
    const parts = copy(good);
    addToOffset(1, 1)(parts);
    expectRejected(
      forge(parts),
      "E_TB_POPCOUNT",
      "the bitmaps of chunk 0 (rows 0..31, columns 0..63)",
    );
  });

  it("TB-06 has each flipped bit of a bitmap caught by structure alone", () => {
    const byCode = new Map<string, number>();
    let flips = 0;
    for (let chunk = 0; chunk < 4; chunk++) {
      const begin = offset(good, chunk) * 16;
      for (let bit = 0; bit < 256 * 8; bit++) {
        const parts = copy(good);
        parts.payload[begin + (bit >> 3)]! ^= 1 << (bit & 7);
        const code = codeOf(forge(parts));
        byCode.set(code, (byCode.get(code) ?? 0) + 1);
        flips++;
      }
    }
    expect(flips).toBe(8192);
    expect([...byCode.keys()].sort()).toEqual(["E_TB_PADDING", "E_TB_POPCOUNT", "E_TB_ZERO"]);
    expect([...byCode.values()].reduce((sum, count) => sum + count)).toBe(8192);
  });

  it("TB-06 is caught in a fully dense and in an empty chunk too", () => {
    for (const sparsity of [0, 1]) {
      const whole = packMatrix(
        {
          ...randomMatrix(createRandom(3), 32, 64, 0),
          bits: new Uint16Array(2048).fill(1 - sparsity),
        },
        false,
        plainKernels,
      );
      for (let bit = 0; bit < 256 * 8; bit++) {
        const parts = copy(whole);
        parts.payload[bit >> 3]! ^= 1 << (bit & 7);
        expect(["E_TB_POPCOUNT", "E_TB_ZERO", "E_TB_PADDING"]).toContain(codeOf(forge(parts)));
      }
    }
  });

  it("TB-03 has each flipped bit of an offset caught by structure alone", () => {
    const codes = new Set<string>();
    for (let bit = 0; bit < 5 * 32; bit++) {
      const parts = copy(good);
      parts.meta[META.bytes + (bit >> 3)]! ^= 1 << (bit & 7);
      codes.add(codeOf(forge(parts)));
    }
    expect([...codes].sort()).toEqual(["E_TB_COUNT", "E_TB_OFFSETS", "E_TB_POPCOUNT"]);
  });

  it("TB-07 21 with two flips that cancel out is caught by the CRC, and by it alone", () => {
    const parts = copy(good);
    // lane 0 of block 0: a set bit cleared, a clear one set; both inside the matrix
    const word = view(parts.payload).getUint32(0, true);
    const set = Math.clz32(word & -word) ^ 31;
    const clear = Math.clz32(~word & -~word) ^ 31;
    view(parts.payload).setUint32(0, word ^ (1 << set) ^ (1 << clear), true);
    expectRejected(parts, "E_HASH", "the payload does not match its CRC-32");
    expect(() => check(parts, false)).not.toThrow();
    expect(() => check(forge(parts))).not.toThrow();
  });

  it("TB-14 21 with another value is caught by the CRC", () => {
    const parts = copy(good);
    const value = view(parts.payload).getUint16(256, true);
    view(parts.payload).setUint16(256, value ^ 0x4000 || 1, true);
    expectRejected(parts, "E_HASH", "the payload does not match its CRC-32");
  });

  it("TB-13 17 that stores a zero is refused", () => {
    const parts = copy(good);
    view(parts.payload).setUint16(256, 0, true);
    expectRejected(forge(parts), "E_TB_ZERO", "chunk 0 (rows 0..31, columns 0..63) stores a zero");
  });

  it("TB-08 18 with chunk padding that is not zero is refused", () => {
    const bits = new Uint16Array(2048);
    bits[0] = 1;
    const parts = copy(packMatrix({ rows: 32, cols: 64, dtype: "F16", bits }, false, plainKernels));
    for (let at = 258; at < 272; at++) {
      const damaged = copy(parts);
      damaged.payload[at] = 0x80;
      expectRejected(forge(damaged), "E_TB_PADDING", "the padding of chunk 0");
    }
  });

  // a bit moved from inside the matrix to beyond it: the popcount stays right
  it.each([
    ["row 8 of a matrix of 8 rows", 8, 64, 0, 2],
    ["row 16 of a matrix of 16 rows", 16, 64, 32, 0],
    ["column 1 of a matrix of 1 column", 32, 1, 0, 1],
    ["column 16 of a matrix of 16 columns", 32, 16, 1, 0],
  ])("TB-08 19 with a bit for %s is refused", (_, rows, cols, word, bit) => {
    const bits = new Uint16Array(rows * cols);
    bits[0] = 5;
    const parts = copy(packMatrix({ rows, cols, dtype: "F16", bits }, false, plainKernels));
    view(parts.payload).setUint32(0, 0, true);
    view(parts.payload).setUint32(4 * word, 1 << bit, true);
    expectRejected(forge(parts), "E_TB_PADDING", `has a bit beyond the matrix`);
  });
});

describe("weight_meta", () => {
  it("14 whose header was changed in a way that structure cannot see is caught by its CRC", () => {
    const parts = copy(good);
    parts.meta[META.flags] = 1;
    expectRejected(parts, "E_HASH", "weight_meta does not match its CRC-32");
    expect(() => check(parts, false)).not.toThrow();
  });
});

describe("every single flipped bit of payload and weight_meta", () => {
  it("is caught", () => {
    const bytes = good.payload.length + good.meta.length;
    for (let bit = 0; bit < bytes * 8; bit++) {
      const at = bit >> 3;
      const parts = copy(good);
      const [part, index] =
        at < good.payload.length ? [parts.payload, at] : [parts.meta, at - good.payload.length];
      part[index]! ^= 1 << (bit & 7);
      if (codeOf(parts) === "accepted") expect.fail(`bit ${bit & 7} of byte ${at} was missed`);
    }
  });
});

describe("an error about a packed weight", () => {
  it("names file and tensor, and says what to do", () => {
    const parts = copy(good);
    parts.meta[0] = 0;
    expect(() => check(parts)).toThrow(
      expect.objectContaining({
        message: "model.safetensors: a.weight: weight_meta does not begin with its magic",
        detail: expect.objectContaining({
          path: "model.safetensors",
          tensor: "a.weight",
          expected: "SPTILEBM",
          hint: expect.stringContaining("fetch it again"),
        }),
      }),
    );
  });
});

function codeOf(parts: Parts): string {
  try {
    check(parts);
    return "accepted";
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}
