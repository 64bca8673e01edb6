import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readSafetensorsHeader } from "../../../formats/safetensors/header.ts";
import {
  encodeHeader,
  type PlacedTensor,
  planHeader,
  type TensorBytes,
  writeSafetensors,
} from "../../../formats/safetensors/writer.ts";
import { memorySource } from "../../../src/core/byteSource.ts";
import { DTYPE_BITS, type Dtype, denseBytes } from "../../../src/core/dtype.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { describePython } from "../../helpers/python.ts";
import { parseFile, refusal } from "../../helpers/safetensorsFile.ts";
import { referenceRead } from "./reference.ts";

const name = fc
  .string({ unit: fc.constantFrom(..."aB0._/ \\\"'{}\n\u0000\u007fé€😀") })
  .filter((text) => text !== "__metadata__");

const tensor: fc.Arbitrary<TensorBytes> = fc
  .record({
    name,
    dtype: fc.constantFrom(...(Object.keys(DTYPE_BITS) as Dtype[])),
    shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
  })
  .filter(({ dtype, shape }) => denseBytes(dtype, shape) !== undefined)
  .chain((described) => {
    const size = denseBytes(described.dtype, described.shape)!;
    const bytes = fc.uint8Array({ minLength: size, maxLength: size });
    return bytes.map((filled) => ({ ...described, bytes: filled }));
  });

const tensors: fc.Arbitrary<TensorBytes[]> = fc.uniqueArray(tensor, {
  maxLength: 8,
  selector: (item) => item.name,
});

const metadata = fc.dictionary(
  fc.string().filter((key) => key !== "format"),
  fc.string(),
);

describe("writeSafetensors", () => {
  it("gives files from which everything comes back", async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (given, notes) => {
        const file = writeSafetensors(given, notes);
        const header = await readSafetensorsHeader(memorySource(file), DEFAULT_LIMITS);
        const back = header.entries.map(({ name, dtype, shape, begin, end }) => ({
          name,
          dtype,
          shape: [...shape],
          bytes: file.slice(begin, end),
        }));
        const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
        expect(back.sort(byName)).toEqual([...given].sort(byName));
        expect(header.metadata).toEqual(new Map(Object.entries({ format: "pt", ...notes })));
        expect(header.warnings).toEqual([]);
        expect(header.headerBytes % 8).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it("puts wide dtypes first, then sorts by name, whatever order they come in", () => {
    const of = (name: string, dtype: Dtype): TensorBytes => ({
      name,
      dtype,
      shape: [2],
      bytes: new Uint8Array(DTYPE_BITS[dtype] / 4),
    });
    const given = [of("b", "F16"), of("c", "I8"), of("a", "BF16"), of("z", "F64"), of("d", "F4")];
    const file = writeSafetensors(given);
    expect(parseFile(file).entries.map((entry) => entry.name)).toEqual(["z", "a", "b", "c", "d"]);
    expect(writeSafetensors([...given].reverse())).toEqual(file);
  });

  it("pads the header with spaces and nothing else", () => {
    for (let length = 1; length <= 8; length++) {
      const bytes = Uint8Array.of(1);
      const file = writeSafetensors([{ name: "n".repeat(length), dtype: "U8", shape: [1], bytes }]);
      const text = Buffer.from(file.subarray(8, -1)).toString();
      expect(text).toMatch(/^\{"__metadata__":\{"format":"pt"\},.*\} {0,7}$/);
      expect(text.length % 8).toBe(0);
    }
  });

  it("does not write a tensor whose bytes do not fit its shape", async () => {
    const bytes = new Uint8Array(3);
    const error = await refusal(() =>
      writeSafetensors([{ name: "a", dtype: "F16", shape: [2], bytes }]),
    );
    expect(error).toMatchObject({ code: "E_INTERNAL" });
    expect(error.message).toContain('tensor "a" has 3 bytes, not 4');
  });
});

describe("a streamed header", () => {
  const planned = [
    { name: "w", dtype: "U64", maxShape: [1_000_000] },
    { name: "b", dtype: "F16", maxShape: [64, 64] },
  ] as const;
  const place = (sizes: readonly number[]): PlacedTensor[] => {
    let end = 0;
    return planned.map(({ name, dtype }, i) => {
      const begin = end;
      end += sizes[i]! * (DTYPE_BITS[dtype] / 8);
      return { name, dtype, shape: [sizes[i]!], begin, end };
    });
  };

  it("ends at the place that was planned, whatever the sizes turn out to be", () => {
    const reserved = planHeader(planned, { k: "v" });
    expect((8 + reserved) % 64).toBe(0);
    for (const sizes of [
      [0, 0],
      [1, 4096],
      [1_000_000, 4096],
    ]) {
      const placed = place(sizes);
      const header = encodeHeader(placed, { k: "v" }, reserved);
      expect(header).toHaveLength(8 + reserved);
      const file = Buffer.concat([header, new Uint8Array(placed.at(-1)!.end)]);
      const parsed = parseFile(file);
      expect(parsed.entries.map(({ begin }) => begin)).toEqual(
        placed.map(({ begin }) => 8 + reserved + begin),
      );
      expect(parsed.metadata).toEqual(
        new Map([
          ["format", "pt"],
          ["k", "v"],
        ]),
      );
    }
  });

  it("always fits what was planned for it", () => {
    const shapes = fc.array(fc.integer({ min: 0, max: 2 ** 15 }), { maxLength: 3 });
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.record({ name, maxShape: shapes, used: fc.double({ min: 0, max: 1, noNaN: true }) }),
          {
            maxLength: 6,
            selector: (item) => item.name,
          },
        ),
        (items) => {
          const plan = items.map(({ name, maxShape }) => ({
            name,
            dtype: "U8" as const,
            maxShape,
          }));
          const reserved = planHeader(plan);
          let end = 0;
          const placed = items.map(({ name, maxShape, used }) => {
            const shape = maxShape.map((size) => Math.floor(size * used));
            const begin = end;
            end += denseBytes("U8", shape)!;
            return { name, dtype: "U8", shape, begin, end };
          });
          expect(encodeHeader(placed, {}, reserved)).toHaveLength(8 + reserved);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("refuses what does not tile, or does not fit", async () => {
    const hole = [{ name: "a", dtype: "U8", shape: [1], begin: 1, end: 2 }];
    const misplaced = await refusal(() => encodeHeader(hole, {}, 120));
    expect(misplaced.message).toContain('tensor "a" was placed at 1, not at 0');
    const tight = await refusal(() => encodeHeader([], {}, 8));
    expect(tight.message).toContain("8 were reserved");
    expect(tight.code).toBe("E_INTERNAL");
  });

  it("is refused when no safetensors header can hold the names", async () => {
    const long = "n".repeat(1_000_000);
    const many = Array.from({ length: 101 }, (_, i) => ({
      name: long + i,
      dtype: "U8" as const,
      maxShape: [1],
    }));
    const error = await refusal(() => planHeader(many));
    expect(error).toMatchObject({ code: "E_LIMIT" });
    expect(error.detail.hint).toContain("--max-shard-size");
  });
});

describePython("written files in the Python package", () => {
  it("are read back with the same tensors", () => {
    const samples = fc.sample(fc.tuple(tensors, metadata), { numRuns: 200, seed: 3 });
    const files = samples.map(([given, notes]) => writeSafetensors(given, notes));
    const expected = samples.map(([given]) =>
      given
        .map(({ name, dtype, shape, bytes }) => ({
          name,
          dtype,
          shape,
          data: Buffer.from(bytes).toString("hex"),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    );
    expect(referenceRead(files)).toEqual(expected);
  });

  it("may have a header with spaces up to the place planned", () => {
    const reserved = planHeader([{ name: "w", dtype: "U8", maxShape: [2 ** 40] }]);
    const placed = [{ name: "w", dtype: "U8", shape: [2], begin: 0, end: 2 }];
    const file = Buffer.concat([encodeHeader(placed, {}, reserved), Uint8Array.of(7, 8)]);
    expect(referenceRead([file])[0]).toEqual([
      { name: "w", dtype: "U8", shape: [2], data: "0708" },
    ]);
  });
});
