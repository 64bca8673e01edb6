import os, { endianness } from "node:os";
import { describe, expect, it, vi } from "vitest";
import { readSafetensorsHeader } from "../../../formats/safetensors/header.ts";
import { openSafetensorsFiles } from "../../../formats/safetensors/open.ts";
import type { ByteSource } from "../../../src/core/byteSource.ts";
import { DTYPE_BITS, type Dtype } from "../../../src/core/dtype.ts";
import { DEFAULT_LIMITS, parseLimits } from "../../../src/core/limits.ts";
import { processorMs } from "../../helpers/processorTime.ts";
import {
  memoryFiles,
  parseFile,
  rawSafetensors,
  refusal,
  u8,
} from "../../helpers/safetensorsFile.ts";

const PT = { __metadata__: { format: "pt" } };

/** A source of any size that has only its first bytes, and counts what is read. */
function hollowSource(first: Uint8Array, size: number): ByteSource & { bytesRead: number } {
  return {
    label: "hollow.safetensors",
    size,
    bytesRead: 0,
    async read(begin, end) {
      this.bytesRead += end - begin;
      const bytes = new Uint8Array(end - begin);
      bytes.set(first.subarray(begin, end));
      return bytes;
    },
  };
}

async function expectRefused(file: Uint8Array, code: string, reason: string): Promise<void> {
  const error = await refusal(() => parseFile(file));
  expect(error).toMatchObject({ code });
  expect(error.message).toContain(reason);
  expect(error.message).toMatch(/^x\.safetensors: /);
  expect(error.detail.path).toBe("x.safetensors");
}

describe("a well-formed header", () => {
  it("gives name, dtype, shape and the place in the file, in the order of the bytes", () => {
    const header = {
      ...PT,
      late: { dtype: "F16", shape: [2, 3], data_offsets: [4, 16] },
      early: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    };
    const file = rawSafetensors(header, 16);
    const begin = file.length - 16;
    const parsed = parseFile(file);
    expect(parsed.entries).toEqual([
      { name: "early", dtype: "F32", shape: [1], begin, end: begin + 4 },
      { name: "late", dtype: "F16", shape: [2, 3], begin: begin + 4, end: begin + 16 },
    ]);
    expect(parsed.headerBytes).toBe(begin - 8);
    expect(parsed.metadata).toEqual(new Map([["format", "pt"]]));
    expect(parsed.warnings).toEqual([]);
  });

  it("is read from a source without any tensor byte", async () => {
    const file = rawSafetensors({ ...PT, a: u8(0, 100_000) }, 100_000);
    const source = hollowSource(file, file.length);
    await readSafetensorsHeader(source, DEFAULT_LIMITS);
    expect(source.bytesRead).toBeLessThanOrEqual(512);
  });

  it("is read whole when it is longer than the first look", async () => {
    const names = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${i}`, u8(i, i + 1)]));
    const file = rawSafetensors(names, 40);
    const { entries } = await readSafetensorsHeader(
      hollowSource(file, file.length),
      DEFAULT_LIMITS,
    );
    expect(entries).toHaveLength(40);
  });

  it.each(Object.keys(DTYPE_BITS) as Dtype[])("holds %s", (dtype) => {
    const bytes = DTYPE_BITS[dtype] * 2;
    const header = { a: { dtype, shape: [4, 4], data_offsets: [0, bytes] } };
    expect(parseFile(rawSafetensors(header, bytes)).entries[0]).toMatchObject({ dtype });
  });

  it("may lie beyond 4 GiB in its file", () => {
    const end = 5 * 2 ** 30;
    const header = Buffer.from(
      JSON.stringify({ a: { dtype: "F32", shape: [end / 4], data_offsets: [0, end] } }),
    );
    const whole = rawSafetensors(header);
    const source = hollowSource(whole, whole.length + end);
    return expect(readSafetensorsHeader(source, DEFAULT_LIMITS)).resolves.toMatchObject({
      entries: [{ begin: whole.length, end: whole.length + end }],
    });
  });
});

describe("the length of the header", () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7])("ST-01 refuses a file of %i bytes", async (size) => {
    const reason = size === 0 ? "the file is empty" : `the file has ${size} bytes`;
    await expectRefused(new Uint8Array(size), "E_ST_SHORT", reason);
  });

  it("ST-02 refuses a length over 100 MB before it reads that much", async () => {
    for (const length of [100_000_001n, 2n ** 63n, 2n ** 64n - 1n]) {
      const source = hollowSource(rawSafetensors("{}", 0, length), 2 ** 40);
      const error = await refusal(() => readSafetensorsHeader(source, DEFAULT_LIMITS));
      expect(error).toMatchObject({ code: "E_ST_HEADER_TOO_LARGE" });
      expect(error.message).toContain(`${length} bytes, over the limit of 100000000`);
      expect(source.bytesRead).toBe(512);
    }
  });

  it("ST-03 refuses a length beyond the end of the file", async () => {
    const file = rawSafetensors("{}", 90, 1000n);
    await expectRefused(file, "E_ST_HEADER_LENGTH", "1000 bytes, but 92 follow");
    await expectRefused(rawSafetensors("{}", 0, 3n), "E_ST_HEADER_LENGTH", "but 2 follow");
  });

  it("ST-04 compares lengths that no double can hold", async () => {
    const length = 2n ** 53n + 9n;
    const reason = "9007199254741001 bytes, over the limit";
    await expectRefused(rawSafetensors("{}", 0, length), "E_ST_HEADER_TOO_LARGE", reason);
  });
});

describe("the text of the header", () => {
  const key = (bytes: number[]) =>
    Buffer.concat([Buffer.from('{"'), Buffer.from(bytes), Buffer.from('":1}')]);

  it.each([
    ["a stray byte", key([0xff]), "byte 10: byte 0xff is not UTF-8"],
    ["a cut sequence", key([0x61, 0xe2, 0x82]), "byte 11: byte 0xe2 is not UTF-8"],
    ["an overlong sequence", key([0xc0, 0xaf]), "byte 10: byte 0xc0 is not UTF-8"],
    ["an encoded surrogate", key([0xed, 0xa0, 0x80]), "byte 10: byte 0xed is not UTF-8"],
    ["an escaped lone surrogate", '{"\\ud800":1}', "\\ud800 is half of a surrogate pair"],
    ["two high surrogates", '{"\\ud800\\ud800":1}', "\\ud800 is half of a surrogate pair"],
  ])("ST-05 refuses %s", (_, header, reason) =>
    expectRefused(rawSafetensors(header), "E_ST_UTF8", reason),
  );

  it("ST-05 takes an escaped surrogate pair for its character", () => {
    const file = rawSafetensors(
      '{"\\ud83d\\ude00":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    );
    expect(parseFile(file).entries[0]?.name).toBe("😀");
  });

  it("ST-06 refuses a byte-order mark", () =>
    expectRefused(rawSafetensors("\ufeff{}"), "E_ST_JSON", "expected a value and found"));

  it.each([
    ["a list", "[]", "of type array"],
    ["a number", "1", "of type number"],
    ["a string", '"{}"', "of type string"],
    ["null", "null", "of type null"],
    ["nothing", "", "the header is empty"],
    ["only spaces", "    ", "the header is empty"],
  ])("ST-07 refuses a header that is %s", (_, header, reason) =>
    expectRefused(rawSafetensors(header), "E_ST_JSON_TYPE", reason),
  );

  it("ST-08 refuses a header padded with NUL and says why", async () => {
    const file = rawSafetensors('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}\0\0\0', 1);
    await expectRefused(file, "E_ST_JSON", "byte 61: NUL bytes follow the JSON text");
    const error = await refusal(() => parseFile(file));
    expect(error.detail.hint).toContain("padded the header with NUL bytes");
  });

  it("ST-09 takes white space around the JSON", () => {
    expect(
      parseFile(
        rawSafetensors(' \t\r\n{ "a" : {"dtype":"U8","shape":[],"data_offsets":[0,1]}} \n', 1),
      ).entries,
    ).toHaveLength(1);
  });

  it.each([
    ["text behind the object", "{} {}", "'{}' follows the JSON text"],
    ["a missing bracket", '{"a":', "expected a value"],
    ["a trailing comma", "{,}", "expected a string"],
    ["a comma before the end", '{"__metadata__":{},}', "expected a string"],
    ["a single quote", "{'a':1}", "expected a string"],
    ["a comment", "{/**/}", "expected a string"],
    ["NaN", '{"a":NaN}', "expected a value"],
    ["a needless zero", '{"a":{"shape":[01]}}', "a needless zero"],
    ["a point without digits", '{"a":{"shape":[1.]}}', "expected a digit"],
    ["a raw control character", '{"a\n":1}', "byte 10 must be escaped"],
    ["an unknown escape", '{"\\x":1}', "an escape JSON does not have"],
    ["a short unicode escape", '{"\\u12":1}', "four hexadecimal digits"],
    ["a string without end", '{"a', "a string is not closed"],
    ["a number out of range", '{"a":{"x":1e999}}', "a number is out of range"],
    ["deep nesting", `{"a":{"x":${"[".repeat(200)}`, "more than 127 levels"],
  ])("refuses %s", (_, header, reason) =>
    expectRefused(rawSafetensors(header), "E_ST_JSON", reason),
  );
});

describe("names", () => {
  it.each([
    [
      "ST-10 a tensor twice with different bytes",
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
      '"a" is there twice',
    ],
    [
      "ST-11 a tensor twice on the same bytes",
      '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      '"a" is there twice',
    ],
    [
      "ST-11 a tensor twice, once escaped",
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"\\u0061":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}',
      '"a" is there twice',
    ],
    [
      "ST-12 a dtype twice",
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"dtype":"U8"}}',
      '"dtype" of tensor "a" is there twice',
    ],
    [
      "ST-12 a shape twice",
      '{"a":{"dtype":"U8","shape":[2],"shape":[2],"data_offsets":[0,2]}}',
      '"shape" of tensor "a" is there twice',
    ],
    [
      "ST-12 offsets twice",
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"data_offsets":[0,2]}}',
      '"data_offsets" of tensor "a" is there twice',
    ],
    [
      "ST-12 the metadata twice",
      '{"__metadata__":{},"__metadata__":{}}',
      '"__metadata__" is there twice',
    ],
    ["ST-12 a metadata key twice", '{"__metadata__":{"k":"1","k":"1"}}', '"k" of __metadata__'],
  ])("%s is refused", (_, header, reason) =>
    expectRefused(rawSafetensors(header, 2), "E_ST_DUP_KEY", reason),
  );

  it("ST-26 may be anything, and reach messages escaped", async () => {
    const names = ["__proto__", "constructor", "toString", "\u001b]0;x\u0007", "\u202etxet", ""];
    const entries = names.map(
      (name, i) => `${JSON.stringify(name)}:${JSON.stringify(u8(i, i + 1))}`,
    );
    const file = rawSafetensors(`{${entries.join(",")}}`, names.length);
    expect(parseFile(file).entries.map(({ name }) => name)).toEqual(names);
    expect(({} as Record<string, unknown>)["dtype"]).toBeUndefined();

    const error = await refusal(() => parseFile(rawSafetensors({ "\u001b[2Jevil": u8(1, 2) }, 2)));
    expect(error.message).toContain('tensor "\\u{1b}[2Jevil"');
  });

  it("ST-26 may be 64 KiB long and no longer", async () => {
    const file = (bytes: number) => rawSafetensors({ ["é".repeat(bytes / 2)]: u8(0, 1) }, 1);
    expect(parseFile(file(65_536)).entries[0]?.name).toHaveLength(32_768);
    await expectRefused(file(65_538), "E_LIMIT", "a tensor name of 65538 bytes is over the limit");
  });
});

describe("the layout", () => {
  it.each([
    [
      "ST-13 a hole before the first tensor",
      { a: u8(1, 3) },
      3,
      "begins at 1, behind a hole; expected 0",
    ],
    ["ST-13 a hole between tensors", { a: u8(0, 1), b: u8(2, 3) }, 3, "begins at 2, behind a hole"],
    [
      "ST-14 two tensors on the same bytes",
      { a: u8(0, 2), b: u8(0, 2) },
      2,
      "inside the tensor before",
    ],
    ["ST-14 two tensors that overlap", { a: u8(0, 2), b: u8(1, 3) }, 3, "begins at 1, inside"],
    [
      "ST-15 an end before its begin",
      { a: u8(0, 2), b: { dtype: "U8", shape: [1], data_offsets: [2, 1] } },
      3,
      "ends at 1, before its begin 2",
    ],
  ])("%s is refused", (_, header, bytes, reason) =>
    expectRefused(rawSafetensors(header, bytes), "E_ST_OFFSETS", reason),
  );

  it("ST-14 a million tensors on one range are refused in seconds and under 1 GiB", () => {
    const one = '{"dtype":"U8","shape":[2],"data_offsets":[0,2]}';
    const entries = Array.from({ length: 1_000_000 }, (_, i) => `"${i}":${one}`);
    const file = rawSafetensors(`{${entries.join(",")}}`, 2);
    const before = process.memoryUsage.rss();
    let error: unknown;
    const ms = processorMs(() => {
      try {
        parseFile(file);
      } catch (thrown) {
        error = thrown;
      }
    });
    expect(error).toMatchObject({ code: "E_ST_OFFSETS" });
    expect(ms).toBeLessThan(4000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 30);
  }, 60_000);

  it("ST-16 refuses bytes behind the last tensor", async () => {
    const file = Buffer.concat([rawSafetensors({ a: u8(0, 2) }, 2), Buffer.from("PK\x05\x06")]);
    await expectRefused(file, "E_ST_SIZE", "4 bytes follow the last tensor, which ends at 2");
    await expectRefused(rawSafetensors({}, 1), "E_ST_SIZE", "1 bytes follow");
  });

  it("ST-17 names what is missing of a truncated file, wherever it is cut", async () => {
    const file = rawSafetensors({ a: u8(0, 1000), b: u8(1000, 2000) }, 2000);
    for (let i = 0; i < 20; i++) {
      const left = 2000 - 1 - i * 50;
      const error = await refusal(() => parseFile(file.subarray(0, file.length - 2000 + left)));
      expect(error).toMatchObject({ code: "E_ST_TRUNCATED" });
      expect(error.message).toContain(`expected 2000 bytes of data, got ${left}`);
      expect(error.detail).toMatchObject({ tensor: left < 1000 ? "a" : "b" });
      expect(error.detail.hint).toContain("partial download or copy");
    }
  });

  it.each([
    ["more bytes than its shape", [3], "has 2 bytes, expected 3 for U8 [3]"],
    ["fewer bytes than its shape", [1], "has 2 bytes, expected 1 for U8 [1]"],
    ["bytes though a dimension is 0", [4, 0], "has 2 bytes, expected 0 for U8 [4,0]"],
    ["two bytes for a scalar of one", [], "has 2 bytes, expected 1 for U8 []"],
  ])("ST-18 refuses a tensor with %s", (_, shape, reason) =>
    expectRefused(rawSafetensors({ a: { ...u8(0, 2), shape } }, 2), "E_ST_SIZE", reason),
  );

  it.each([
    ["wraps to 0 in 64 bits", "U8", [2 ** 32, 2 ** 32]],
    ["overflows before a 0", "U8", [2 ** 32, 2 ** 32, 2 ** 32, 0]],
    ["overflows behind a 0", "U8", [0, 2 ** 32, 2 ** 32, 2 ** 32]],
    ["overflows only in bits", "F64", [2 ** 50]],
    ["is rounded above 2^53", "U8", [3, 2 ** 52 - 1]],
  ])("ST-19 refuses a shape that %s", (_, dtype, shape) =>
    expectRefused(
      rawSafetensors({ a: { dtype, shape, data_offsets: [0, 0] } }),
      "E_ST_OVERFLOW",
      "is larger than 2^53 - 1 bits",
    ),
  );

  it.each([
    ["F4", 3],
    ["F6_E2M3", 2],
    ["F6_E3M2", 5],
  ])("ST-23 refuses %s that ends inside a byte", (dtype, count) =>
    expectRefused(
      rawSafetensors({ a: { dtype, shape: [count], data_offsets: [0, 2] } }, 2),
      "E_ST_SUBBYTE",
      `of ${count} × ${dtype} does not end on a byte`,
    ),
  );

  it("ST-24 takes empty tensors and scalars", () => {
    const header = {
      scalar: { dtype: "F32", shape: [], data_offsets: [0, 4] },
      empty: { dtype: "F32", shape: [0, 7], data_offsets: [4, 4] },
      first: { dtype: "I8", shape: [0], data_offsets: [0, 0] },
    };
    expect(parseFile(rawSafetensors(header, 4)).entries.map(({ name }) => name)).toEqual([
      "first",
      "scalar",
      "empty",
    ]);
    expect(parseFile(rawSafetensors({})).entries).toEqual([]);
  });
});

describe("entries", () => {
  const withShape = (text: string) => `{"a":{"dtype":"U8","shape":[${text}],"data_offsets":[0,1]}}`;
  const NOT_COUNT = "not a whole number from 0 to 2^53 - 1";

  it.each([
    ["-1", "holds -1"],
    ["-0", "holds -0"],
    ["1.0", "holds 1.0"],
    ["1e2", "holds 1e2"],
    ["1E0", "holds 1E0"],
    ['"1"', "holds a value of type string"],
    ["null", "holds a value of type null"],
    ["[1]", "holds a value of type array"],
    ["9007199254740992", "holds 9007199254740992"],
    ["18446744073709551615", "holds 18446744073709551615"],
    ["18446744073709551616", "holds 18446744073709551616"],
    [`1${"0".repeat(400)}`, "holds 1000"],
  ])("ST-20 refuses a dimension %s", async (text, reason) => {
    await expectRefused(rawSafetensors(withShape(text), 1), "E_ST_JSON_TYPE", reason);
    await expectRefused(rawSafetensors(withShape(text), 1), "E_ST_JSON_TYPE", NOT_COUNT);
  });

  it("ST-21 refuses offsets above 2^53 and rounds none", async () => {
    for (const text of ["9007199254740993", "9007199254740992", "18446744073709551615"]) {
      const header = `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,${text}]}}`;
      const reason = `data_offsets of tensor "a" holds ${text}, ${NOT_COUNT}`;
      await expectRefused(rawSafetensors(header, 1), "E_ST_JSON_TYPE", reason);
    }
    const largest = `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,9007199254740991]}}`;
    await expectRefused(rawSafetensors(largest, 1), "E_ST_SIZE", "has 9007199254740991 bytes");
  });

  it.each([
    ["no dtype", '{"a":{"shape":[1],"data_offsets":[0,1]}}', 'has no "dtype"'],
    ["no shape", '{"a":{"dtype":"U8","data_offsets":[0,1]}}', 'has no "shape"'],
    ["no offsets", '{"a":{"dtype":"U8","shape":[1]}}', 'has no "data_offsets"'],
    ["one offset", '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}', "has 1 numbers, not two"],
    ["three offsets", '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', "has 3 numbers"],
    [
      "offsets in an object",
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":{}}}',
      "of type object",
    ],
    ["a shape in a string", '{"a":{"dtype":"U8","shape":"[1]","data_offsets":[0,1]}}', "string"],
    [
      "a number for a dtype",
      '{"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}}',
      "of type number",
    ],
    ["a list for an entry", '{"a":["U8",[1],[0,1]]}', 'the entry of tensor "a" is of type array'],
  ])("ST-20 refuses an entry with %s", (_, header, reason) =>
    expectRefused(rawSafetensors(header, 1), "E_ST_JSON_TYPE", reason),
  );

  it("ST-20 bounds the number of dimensions", async () => {
    const file = (rank: number) =>
      rawSafetensors({ a: { ...u8(0, 1), shape: Array(rank).fill(1) } }, 1);
    expect(parseFile(file(8)).entries[0]?.shape).toHaveLength(8);
    await expectRefused(file(9), "E_LIMIT", "has 9 dimensions, over the limit (dims=8)");
    await expectRefused(file(1000), "E_LIMIT", "has 1000 dimensions");
    const limits = parseLimits(["dims=1000"]);
    expect(parseFile(file(1000), { limits }).entries[0]?.shape).toHaveLength(1000);
  });

  it.each(["F7", "E8M0", "f16", "", "toString"])(
    "ST-22 does not know the dtype %j",
    async (dtype) => {
      const file = rawSafetensors({ a: { dtype, shape: [9], data_offsets: [0, 5] } }, 5);
      await expectRefused(
        file,
        "E_ST_DTYPE_UNSUPPORTED",
        `has the dtype "${dtype}", which SpInfer`,
      );
      const error = await refusal(() => parseFile(file));
      expect(error).toMatchObject({ exit: 9, detail: { tensor: "a" } });
      expect(error.detail.hint).toContain("--keep-unknown");
    },
  );

  it("ST-22 keeps an unknown dtype when asked, still with the rule of the layout", async () => {
    const options = { limits: DEFAULT_LIMITS, keepUnknown: true };
    const header = { a: { dtype: "F7", shape: [9], data_offsets: [0, 5] }, b: u8(5, 6) };
    expect(parseFile(rawSafetensors(header, 6), options).entries[0]).toMatchObject({
      dtype: "F7",
      shape: [9],
    });
    const overlap = { ...header, b: u8(4, 6) };
    const error = await refusal(() => parseFile(rawSafetensors(overlap, 6), options));
    expect(error.code).toBe("E_ST_OFFSETS");
  });

  it("ST-25 wants strings in __metadata__", async () => {
    for (const [value, reason] of [
      ['{"k":1}', "a value of __metadata__ is of type number"],
      ['{"k":null}', "a value of __metadata__ is of type null"],
      ['"pt"', "__metadata__ is of type string"],
      ["null", "__metadata__ is of type null"],
    ] as const) {
      const file = rawSafetensors(`{"__metadata__":${value}}`);
      await expectRefused(file, "E_ST_JSON_TYPE", reason);
    }
  });

  it("ST-25 warns of metadata without a format", () => {
    const reason = '__metadata__ does not say "format"';
    expect(parseFile(rawSafetensors({})).warnings.join()).toContain(reason);
    expect(parseFile(rawSafetensors({ __metadata__: { k: "v" } })).warnings.join()).toContain(
      reason,
    );
    expect(parseFile(rawSafetensors(PT)).warnings).toEqual([]);
  });

  it("ignores unknown keys of entries with a warning", () => {
    const extra = { stride: [1], nested: { deep: [null, true, -1.5e3, "x"] } };
    const file = rawSafetensors({ ...PT, a: { ...u8(0, 1), ...extra }, b: u8(1, 2) }, 2);
    const { entries, warnings } = parseFile(file);
    expect(entries).toHaveLength(2);
    expect(warnings).toEqual([
      'x.safetensors: 2 unknown keys in the header are ignored, first in tensor "a"',
    ]);
  });
});

describe("limits", () => {
  it("ST-27 counts the tensors", async () => {
    const limits = parseLimits(["tensors=2"]);
    const file = (count: number) =>
      rawSafetensors(
        Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, u8(i, i + 1)])),
        count,
      );
    expect(parseFile(file(2), { limits }).entries).toHaveLength(2);
    const error = await refusal(() => parseFile(file(3), { limits }));
    expect(error).toMatchObject({ code: "E_LIMIT_TENSORS", exit: 12 });
    expect(error.message).toContain("more than 2 tensors");
  });
});

describe("ST-28 a file of another kind under the name .safetensors", () => {
  it.each([
    [
      "git-lfs pointer",
      `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 5\n`,
      "git lfs pull",
    ],
    ["html", "<!DOCTYPE html><html><body>404 Not Found</body></html>", "download the file again"],
    ["html", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "download"],
    ["json", '{"error":"Repository not found"}', "download the file again"],
    ["html", "<html>", "download"],
  ])("is named: %s", async (kind, text, fix) => {
    const error = await refusal(() => parseFile(Buffer.from(text)));
    expect(error).toMatchObject({ code: "E_NOT_SAFETENSORS", exit: 3, detail: { found: kind } });
    expect(error.message).toContain("not safetensors");
    expect(error.detail.hint).toContain(fix);
  });

  it("leaves faults of a real header what they are", async () => {
    // the length has the magic of gzip in its low bytes, but a JSON object follows
    const header = `{"a":${" ".repeat(0x08_8b1f - 5)}`;
    const file = rawSafetensors(header);
    expect([...file.subarray(0, 3)]).toEqual([0x1f, 0x8b, 0x08]);
    await expectRefused(file, "E_ST_JSON", "expected a value and found the end of the text");
  });
});

describe("ST-30 a big-endian machine", () => {
  it("is refused", async () => {
    const host = vi.spyOn(os, "endianness").mockReturnValue("BE");
    try {
      const files = memoryFiles({ "m.safetensors": rawSafetensors({ a: u8(0, 1) }, 1) }, true);
      const error = await refusal(() => openSafetensorsFiles(files, { limits: DEFAULT_LIMITS }));
      expect(error).toMatchObject({ code: "E_HOST_ENDIAN", exit: 9 });
      expect(error.message).toContain("this machine is big-endian");
    } finally {
      host.mockRestore();
    }
    expect(endianness()).toBe("LE");
  });
});
