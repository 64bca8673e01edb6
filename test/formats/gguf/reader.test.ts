import { describe, expect, it } from "vitest";
import type { GgufHeader } from "../../../formats/gguf/header.ts";
import { metadataOf } from "../../../formats/gguf/metadata.ts";
import { parseGguf, readGguf } from "../../../formats/gguf/reader.ts";
import { type ByteSource, memorySource } from "../../../src/core/byteSource.ts";
import { SpInferError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { wallSlowdown } from "../../helpers/processorTime.ts";
import { type ArrayValue, ggufFile, type TestFile, type TestValue } from "./ggufFile.ts";

function parse(bytes: Uint8Array, limits = DEFAULT_LIMITS): GgufHeader {
  const header = parseGguf(bytes, bytes.length, "model.gguf", limits);
  if ("atLeast" in header) throw new Error("the whole file was given");
  return header;
}

function failure(bytes: Uint8Array, limits = DEFAULT_LIMITS): SpInferError {
  try {
    parse(bytes, limits);
  } catch (thrown) {
    if (thrown instanceof SpInferError) return thrown;
    throw thrown;
  }
  throw new Error("the file was accepted");
}

const u32 = (value: number): TestValue => ({ type: "u32", value });
const text = (value: string): TestValue => ({ type: "string", value });
const F32 = { name: "a", dims: [8], type: "F32" } as const;
const Q8_0 = { name: "b", dims: [64, 2], type: "Q8_0" } as const;

describe("parseGguf", () => {
  it("reads metadata of every type and the places of the tensors", () => {
    const values: [string, TestValue][] = [
      ["u8", { type: "u8", value: 200 }],
      ["i8", { type: "i8", value: -3 }],
      ["u16", { type: "u16", value: 60_000 }],
      ["i16", { type: "i16", value: -30_000 }],
      ["u32", u32(4_000_000_000)],
      ["i32", { type: "i32", value: -2_000_000_000 }],
      ["f32", { type: "f32", value: 0.5 }],
      ["bool", { type: "bool", value: true }],
      ["string", text("naïve ▁ 😀")],
      ["u64", { type: "u64", value: 2n ** 53n - 1n }],
      ["large", { type: "u64", value: 2n ** 64n - 1n }],
      ["i64", { type: "i64", value: -5 }],
      ["f64", { type: "f64", value: Math.PI }],
    ];
    const bytes = ggufFile({ keys: values, tensors: [F32, Q8_0] });
    const header = parse(bytes);

    expect(header.version).toBe(3);
    for (const [key, { type, value }] of values as [string, { type: string; value: unknown }][]) {
      const expected = typeof value === "bigint" && value < 2n ** 53n ? Number(value) : value;
      expect(header.metadata.get(key)).toEqual({ type, value: expected });
    }
    expect(header.dataBegin % 32).toBe(0);
    expect(header.tensors).toEqual([
      { ...F32, begin: header.dataBegin, end: header.dataBegin + 32 },
      { ...Q8_0, begin: header.dataBegin + 32, end: header.dataBegin + 32 + 136 },
    ]);
  });

  it("reads arrays packed, and arrays of arrays", () => {
    const inner = (items: number[]): ArrayValue => ({ type: "array", of: "u8", items });
    const { metadata } = parse(
      ggufFile({
        keys: [
          ["floats", { type: "array", of: "f32", items: [0.5, -1] }],
          ["texts", { type: "array", of: "string", items: ["", "é"] }],
          ["bools", { type: "array", of: "bool", items: [true, false] }],
          ["wide", { type: "array", of: "i64", items: [-1n, 2n ** 62n] }],
          ["nested", { type: "array", of: "array", items: [inner([1, 2]), inner([])] }],
        ],
      }),
    );
    expect(metadata.get("floats")).toEqual({
      type: "array",
      of: "f32",
      items: Float32Array.of(0.5, -1),
    });
    expect(metadata.get("texts")).toMatchObject({ items: ["", "é"] });
    expect(metadata.get("bools")).toMatchObject({ items: [true, false] });
    expect(metadata.get("wide")).toMatchObject({ items: [-1, 2n ** 62n] });
    expect(metadata.get("nested")).toMatchObject({
      items: [{ items: Uint8Array.of(1, 2) }, { items: new Uint8Array(0) }],
    });
  });

  it.each([2, 3])("reads version %d, and a file without tensors", (version) => {
    const header = parse(ggufFile({ version, keys: [["a", u32(1)]] }));
    expect(header).toMatchObject({ version, tensors: [] });
  });

  it("honours general.alignment", () => {
    const keys = [["general.alignment", u32(64)]] as const;
    const header = parse(ggufFile({ keys, tensors: [F32, Q8_0], alignment: 64 }));
    expect(header.dataBegin % 64).toBe(0);
    expect(header.tensors[1]!.begin).toBe(header.dataBegin + 64);
  });

  it("keeps keys and names that are properties of every object", () => {
    const header = parse(
      ggufFile({
        keys: [
          ["__proto__", u32(1)],
          ["constructor", u32(2)],
        ],
        tensors: [{ ...F32, name: "__proto__" }],
      }),
    );
    expect(header.metadata.get("__proto__")).toEqual({ type: "u32", value: 1 });
    expect(header.metadata.get("toString")).toBeUndefined();
  });
});

const huge = 2n ** 64n - 1n;
const nest = (depth: number): TestValue =>
  depth === 0
    ? { type: "array", of: "u8", items: [] }
    : { type: "array", of: "array", items: [nest(depth - 1) as ArrayValue] };
const key = (value: TestValue): TestFile => ({ keys: [["key", value]] });
const withLength = (length: bigint): Uint8Array => {
  const bytes = ggufFile(key(u32(1)));
  new DataView(bytes.buffer).setBigUint64(24, length, true);
  return bytes;
};
const tensors = (...list: NonNullable<TestFile["tensors"]>): TestFile => ({ tensors: list });

/** id, what is wrong, the file, code, a part of the sentence. */
const CASES: readonly (readonly [string, string, TestFile | Uint8Array, string, string])[] = [
  ["GG-01", "another magic", { magic: "GGMF" }, "E_GGUF_MAGIC", "does not begin with"],
  ["GG-01", "an empty file", new Uint8Array(0), "E_GGUF_MAGIC", "does not begin with"],
  ["GG-01", "a git-lfs pointer", Buffer.from("version https://git-lfs"), "E_GGUF_MAGIC", "begin"],
  ["GG-01", "version 1", { version: 1 }, "E_GGUF_VERSION", "version 1"],
  ["GG-01", "version 0", { version: 0 }, "E_GGUF_VERSION", "version 0"],
  ["GG-01", "a version to come", { version: 4 }, "E_GGUF_VERSION", "version 4 is not one of 2, 3"],
  ["GG-01", "big-endian bytes", { version: 0x0300_0000 }, "E_GGUF_VERSION", "big-endian"],
  ["GG-02", "-1 tensors", { tensorCount: huge }, "E_GGUF_COUNT", "tensors"],
  ["GG-02", "2^62 tensors", { tensorCount: 2n ** 62n }, "E_GGUF_COUNT", "tensors"],
  ["GG-02", "-1 keys", { keyCount: huge }, "E_GGUF_COUNT", "metadata keys"],
  ["GG-02", "more keys than fit", { keyCount: 2 }, "E_GGUF_COUNT", "claims 2 metadata keys"],
  ["GG-03", "a key length of 2^64 - 1", withLength(huge), "E_GGUF_STRING", "key 0 is"],
  ["GG-03", "a key length beyond the file", withLength(100n), "E_GGUF_STRING", "is 100 bytes"],
  ["GG-03", "an empty key", { keys: [["", u32(1)]] }, "E_GGUF_STRING", "key 0 is empty"],
  [
    "GG-03",
    "a key that is not UTF-8",
    { keys: [[Uint8Array.of(0x61, 0xff), u32(1)]] },
    "E_GGUF_STRING",
    "not UTF-8",
  ],
  [
    "GG-03",
    "an empty tensor name",
    tensors({ ...F32, name: "" }),
    "E_GGUF_STRING",
    "name 0 is empty",
  ],
  [
    "GG-04",
    "a key that is there twice",
    {
      keys: [
        ["key", u32(1)],
        ["key", text("other")],
      ],
    },
    "E_GGUF_DUP",
    'key "key" is there twice',
  ],
  ["GG-04", "a tensor that is there twice", tensors(F32, F32), "E_GGUF_DUP", '"a" is there twice'],
  [
    "GG-05",
    "an unknown value type",
    key({ type: "?", value: 1 }),
    "E_GGUF_TYPE",
    "unknown type 99",
  ],
  [
    "GG-05",
    "an array of an unknown type",
    key({ type: "array", of: "?", items: [1, 2] }),
    "E_GGUF_TYPE",
    "unknown type 99",
  ],
  ["GG-05", "arrays five deep", key(nest(4)), "E_GGUF_TYPE", "more than 4 deep"],
  [
    "GG-05",
    "an array longer than the file",
    key({ type: "array", of: "u64", items: [1, 2], count: 3 }),
    "E_GGUF_TYPE",
    "array of 3 values of type u64",
  ],
  [
    "GG-05",
    "an array of 2^64 - 1 values",
    key({ type: "array", of: "u8", items: [], count: huge }),
    "E_GGUF_TYPE",
    "values of type u8",
  ],
  [
    "GG-05",
    "a truth value of 2",
    key({ type: "bool", value: 2 }),
    "E_GGUF_TYPE",
    "truth value of 2",
  ],
  [
    "GG-06",
    "an alignment of 0",
    { keys: [["general.alignment", u32(0)]] },
    "E_GGUF_ALIGN",
    "u32 0",
  ],
  ["GG-06", "an alignment of 13", { keys: [["general.alignment", u32(13)]] }, "E_GGUF_ALIGN", "13"],
  [
    "GG-06",
    "an alignment of another type",
    { keys: [["general.alignment", { type: "u64", value: 32 }]] },
    "E_GGUF_ALIGN",
    "u64 32",
  ],
  ["GG-07", "five dimensions", tensors({ ...F32, dims: [8, 1, 1, 1, 1] }), "E_GGUF_SHAPE", "has 5"],
  ["GG-07", "a dimension of -1", tensors({ ...F32, dims: [huge] }), "E_GGUF_SHAPE", "too large"],
  [
    "GG-07",
    "a product that wraps to 0",
    tensors({ ...F32, dims: [2n ** 32n, 2n ** 32n] }),
    "E_GGUF_SHAPE",
    "too large",
  ],
  [
    "GG-07",
    "an overflow behind a dimension of 0",
    tensors({ ...F32, dims: [0, 2n ** 32n, 2n ** 32n] }),
    "E_GGUF_SHAPE",
    "too large",
  ],
  ["GG-08", "a tensor type to come", tensors({ ...F32, type: 77 }), "E_GGUF_DTYPE", "type 77"],
  ["GG-08", "a removed tensor type", tensors({ ...F32, type: 4 }), "E_GGUF_DTYPE", "Q4_2, removed"],
  ["GG-08", "a type not read here", tensors({ ...F32, type: 10 }), "E_GGUF_DTYPE", "Q2_K"],
  [
    "GG-09",
    "rows that end inside a block",
    tensors({ ...Q8_0, dims: [48, 2] }),
    "E_GGUF_BLOCK",
    "rows of 48 weights, not a multiple of the 32 of Q8_0",
  ],
  [
    "GG-10",
    "a hole",
    tensors(F32, { ...Q8_0, offset: 64 }),
    "E_GGUF_OFFSETS",
    "64 of the data, exp",
  ],
  ["GG-10", "an overlap", tensors(F32, { ...Q8_0, offset: 0 }), "E_GGUF_OFFSETS", "expected 32"],
  ["GG-10", "no data", { ...tensors(F32), headerOnly: true }, "E_GGUF_TRUNCATED", "ends at byte"],
  [
    "GG-10",
    "two tensors whose sizes together wrap to 0 (CVE-2026-27940)",
    {
      tensors: [
        { name: "a", dims: [0x7fff_ffff_ffff_ffc0n], type: "F32" },
        { name: "b", dims: [0x7fff_ffff_ffff_ffc0n], type: "F32" },
      ],
    },
    "E_GGUF_SHAPE",
    "too large",
  ],
  [
    "GG-10",
    "two tensors just below the largest size, in a small file",
    {
      tensors: [
        { name: "a", dims: [2n ** 50n], type: "Q8_0" },
        { name: "b", dims: [2n ** 50n], type: "Q8_0" },
      ],
    },
    "E_GGUF_TRUNCATED",
    "ends at byte",
  ],
];

describe("parseGguf rejects", () => {
  it.each(CASES)("%s %s", (_id, _what, file, code, reason) => {
    const error = failure(file instanceof Uint8Array ? file : ggufFile(file));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain("model.gguf: ");
    expect(error.message).toContain(reason);
    expect(error.detail.offset).toBeTypeOf("number");
  });

  it("GG-01 says what was downloaded instead of a model", () => {
    expect(failure(Buffer.from("<!doctype html>")).detail.hint).toContain("web page");
    expect(failure(Buffer.from("version https://git-lfs")).detail.hint).toContain("git lfs pull");
  });

  it("GG-08 lists the types that are supported", () => {
    const { detail } = failure(ggufFile(tensors({ ...F32, type: 77 })));
    expect(detail.expected).toContain("F32, F16, Q4_0, Q4_1");
    expect(detail.tensor).toBe("a");
  });

  it("GG-10 a file cut anywhere, with the same code at every byte of the data", () => {
    const bytes = ggufFile({ keys: [["key", text("value")]], tensors: [F32, Q8_0] });
    const { dataBegin, tensors: placed } = parse(bytes);
    const end = placed.at(-1)!.end;
    for (let size = 0; size < end; size++) {
      const { code } = failure(bytes.subarray(0, size));
      if (size >= dataBegin) expect(code).toBe("E_GGUF_TRUNCATED");
      else expect(code).toMatch(/^E_GGUF_(MAGIC|TRUNCATED|STRING|COUNT|TYPE)$/);
    }
    expect(parse(bytes.subarray(0, end)).tensors).toHaveLength(2);
  });

  it("GG-10 bytes after the last tensor", () => {
    const bytes = Buffer.concat([ggufFile(tensors(F32)), Buffer.from("PK\x05\x06")]);
    expect(failure(bytes)).toMatchObject({ code: "E_GGUF_OFFSETS" });
  });

  it("counts and lengths over the limits, saying which limit to raise", () => {
    const keys = [
      ["a", u32(1)],
      ["b", u32(2)],
    ] as const;
    const limited = (limit: object, file: TestFile) =>
      failure(ggufFile(file), { ...DEFAULT_LIMITS, ...limit });
    expect(limited({ ggufKeys: 1 }, { keys })).toMatchObject({ code: "E_LIMIT" });
    expect(limited({ tensors: 1 }, tensors(F32, Q8_0))).toMatchObject({ code: "E_LIMIT_TENSORS" });
    const long = limited({ ggufStringBytes: 4 }, key(text("12345")));
    expect(long).toMatchObject({ code: "E_LIMIT" });
    expect(long.detail.hint).toContain("--limit ggufStringBytes=5");
    const items = [1, 2, 3];
    const array = limited({ ggufArrayItems: 2 }, key({ type: "array", of: "u8", items }));
    expect(array).toMatchObject({ code: "E_LIMIT" });
    expect(array.detail.hint).toContain("--limit ggufArrayItems=3");
  });

  it("a million arrays in an array", () => {
    const empty: ArrayValue = { type: "array", of: "u8", items: [] };
    const items = new Array(200_000).fill(empty);
    const error = failure(ggufFile(key({ type: "array", of: "array", items })));
    expect(error).toMatchObject({ code: "E_LIMIT" });
  });
});

describe("readGguf", () => {
  function counting(bytes: Uint8Array, size = bytes.length): ByteSource & { reads: number[] } {
    const reads: number[] = [];
    const source = memorySource(bytes);
    return {
      label: "model.gguf",
      size,
      reads,
      read: (begin, end) => {
        reads.push(end);
        return source.read(begin, end);
      },
    };
  }

  it("reads the beginning of a large file and nothing more", async () => {
    const tensor = { name: "a", dims: [1024 * 1024, 1024], type: "F32" } as const;
    const bytes = new Uint8Array(2 * 1024 * 1024);
    bytes.set(ggufFile({ tensors: [tensor], headerOnly: true }));
    const source = counting(bytes, 4 * 2 ** 30 + 64 + 32);
    const header = await readGguf(source, DEFAULT_LIMITS);
    expect(header.tensors[0]!.end - header.tensors[0]!.begin).toBe(4 * 2 ** 30);
    expect(source.reads).toEqual([2 * 1024 * 1024]);
  });

  it("reads on while the header goes on", async () => {
    const items = new Array(100_000).fill("a token of thirty bytes, about");
    const bytes = ggufFile({ keys: [["tokens", { type: "array", of: "string", items }]] });
    expect(bytes.length).toBeGreaterThan(3_000_000);
    const source = counting(bytes);
    const header = await readGguf(source, DEFAULT_LIMITS);
    expect(header.metadata.get("tokens")).toMatchObject({ items });
    expect(source.reads).toEqual([2 * 1024 * 1024, bytes.length]);
  });

  it("stops at a header over the limit", async () => {
    const items = new Array(100_000).fill("a token of thirty bytes, about");
    const bytes = ggufFile({ keys: [["tokens", { type: "array", of: "string", items }]] });
    const source = counting(bytes);
    const reading = readGguf(source, { ...DEFAULT_LIMITS, headerBytes: 1_000_000 });
    await expect(reading).rejects.toMatchObject({ code: "E_LIMIT" });
    await expect(reading).rejects.toThrow("longer than the limit of 1000000 bytes");
  });

  it("takes linear time for many tensors and keys", async () => {
    const count = 60_000;
    const keys = Array.from({ length: count }, (_, i) => [`key.${i}`, u32(i)] as const);
    const list = Array.from({ length: count / 2 }, (_, i) => ({
      name: `tensor.${i}`,
      dims: [0],
      type: "F32" as const,
    }));
    const bytes = ggufFile({ keys, tensors: list });
    const begin = performance.now();
    await readGguf(memorySource(bytes), DEFAULT_LIMITS);
    // comparing every name with every other would take minutes
    expect(performance.now() - begin).toBeLessThan(10_000 * wallSlowdown());
  });
});

describe("metadata", () => {
  const { metadata } = parse(
    ggufFile({
      keys: [
        ["scores", { type: "array", of: "u8", items: [1, 2] }],
        ["count", { type: "i32", value: -1 }],
        ["wide", { type: "u64", value: 2n ** 60n }],
        ["nan", { type: "f32", value: Number.NaN }],
        ["flag", u32(1)],
        ["name", { type: "f32", value: 1 }],
      ],
    }),
  );
  const values = metadataOf(metadata, "model.gguf");

  it.each([
    ["scores that are u8", () => values.floats("scores"), "array of u8, expected an array of f32"],
    ["an array for a number", () => values.count("scores"), "array of u8, expected an integer"],
    ["a number for a flag", () => values.bool("flag"), "of type u32, expected bool"],
    ["a number for a text", () => values.string("name"), "of type f32, expected string"],
    ["strings that are u8", () => values.strings("scores"), "expected an array of strings"],
    ["integers that are u8", () => values.integers("scores"), "expected an array of i32 or u32"],
  ])("GG-12 refuses %s", (_, get, reason) => {
    expect(get).toThrow(expect.objectContaining({ code: "E_GGUF_TYPE" }));
    expect(get).toThrow(reason);
  });

  it.each([
    ["a negative count", () => values.count("count"), '"count" is -1'],
    ["a count beyond 2^53", () => values.count("wide"), '"wide" is 1152921504606846976'],
    ["a NaN", () => values.float("nan"), '"nan" is NaN'],
    [
      "a missing key",
      () => values.required(values.string, "absent"),
      '"absent" is missing from the metadata',
    ],
  ])("refuses %s", (_, get, reason) => {
    expect(get).toThrow(expect.objectContaining({ code: "E_GGUF_METADATA" }));
    expect(get).toThrow(reason);
  });
});
