import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonCursor } from "../../src/core/jsonCursor.ts";
import { JsonError } from "../../src/core/jsonError.ts";
import { JsonNumber, parseStrictJson, plainJson } from "../../src/core/strictJson.ts";
import { processorMs } from "../helpers/processorTime.ts";

const bytesOf = (text: string | Uint8Array) =>
  typeof text === "string" ? new TextEncoder().encode(text) : text;
const parse = (text: string | Uint8Array) => parseStrictJson(bytesOf(text));

function fault(text: string | Uint8Array): JsonError {
  try {
    parse(text);
  } catch (thrown) {
    if (thrown instanceof JsonError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was refused");
}

describe("parseStrictJson", () => {
  it("gives what JSON.parse gives, for every JSON value without a key twice", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), fc.constantFrom(undefined, 2, "\t"), (text, indent) => {
        const value = JSON.parse(text) as unknown;
        const spaced = JSON.stringify(value, null, indent);
        expect(plainJson(parse(spaced))).toEqual(value);
      }),
      { numRuns: 1000 },
    );
  });

  it("accepts no text that JSON.parse refuses", () => {
    const noise = fc.string({ unit: fc.constantFrom(...'{}[]",:\\u019eE+-. \n\ttruefalsn/') });
    fc.assert(
      fc.property(noise, (text) => {
        try {
          parse(text);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(JsonError);
          return;
        }
        JSON.parse(text);
      }),
      { numRuns: 20_000 },
    );
  });

  it("gives objects as Maps, in the order of the text", () => {
    const value = parse('{"b":1,"__proto__":{"x":1},"2":null,"1":true}') as ReadonlyMap<
      string,
      unknown
    >;
    expect([...value.keys()]).toEqual(["b", "__proto__", "2", "1"]);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it.each(["0", "7", "-7", "9007199254740991", "-9007199254740991"])(
    "gives the plain integer %s as a number",
    (text) => {
      expect(parse(text)).toBe(Number(text));
    },
  );

  it.each(["1.0", "1e2", "-0", "9007199254740993", "0.1", "1E-5", "18446744073709551616"])(
    "keeps the text of %s",
    (text) => {
      const value = parse(text);
      expect(value).toBeInstanceOf(JsonNumber);
      expect(value).toMatchObject({ text, value: Number(text) });
    },
  );

  it.each([
    ["utf8", '"a\\ud800"', 2, "\\ud800 is half of a surrogate pair"],
    ["utf8", '"\\udc00\\ud800"', 1, "\\udc00 is half of a surrogate pair"],
    ["utf8", '"\\udc00\\udc00"', 1, "\\udc00 is half of a surrogate pair"],
    ["utf8", '"\\ud800\\ue000"', 1, "\\ud800 is half of a surrogate pair"],
    ["utf8", Uint8Array.of(0x22, 0xe9, 0x22), 1, "byte 0xe9 is not UTF-8"],
    ["syntax", "", 0, "found the end of the text"],
    ["syntax", "\ufeff1", 0, "expected a value"],
    ["syntax", "[1,]", 3, "expected a value and found ']'"],
    ["syntax", "[1 2]", 3, "expected ',' or ']' and found '2]'"],
    ["syntax", '{"a" 1}', 5, "expected ':' and found '1}'"],
    ["syntax", "01", 0, "a needless zero"],
    ["syntax", "+1", 0, "expected a value"],
    ["syntax", ".5", 0, "expected a value"],
    ["syntax", "1.e3", 2, "expected a digit"],
    ["syntax", "1e", 2, "expected a digit"],
    ["syntax", "-", 1, "expected a digit"],
    ["syntax", "nul", 0, "expected a value"],
    ["syntax", "NaN", 0, "expected a value"],
    ["syntax", '"\t"', 1, "byte 9 must be escaped"],
    ["syntax", '"\\', 0, "a string is not closed"],
    ["syntax", '"\\a"', 1, "an escape JSON does not have"],
    ["syntax", '"\\u12G4"', 1, "four hexadecimal digits"],
    ["syntax", '"\\u12"', 1, "four hexadecimal digits"],
    ["duplicate", '{"a":1,"\\u0061":2}', 7, 'key "a" is there twice'],
    ["trailing", "1 2", 2, "'2' follows the JSON text"],
    ["trailing", "{}\0\0", 2, "NUL bytes follow the JSON text"],
    ["depth", "[".repeat(65), 64, "more than 64 levels of nesting"],
    ["depth", '{"a":'.repeat(100_000), 320, "more than 64 levels of nesting"],
  ])("refuses (%s) %j at byte %i", (kind, text, offset, reason) => {
    const error = fault(text);
    expect(error).toMatchObject({ kind, offset });
    expect(error.message).toContain(reason);
  });

  it("finds the first byte that is not UTF-8, wherever it is", () => {
    for (const bad of [
      [0xff],
      [0x80],
      [0xc0, 0xaf],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
    ]) {
      for (const before of ["", "a", "é", "€x", "😀", "é".repeat(50)]) {
        for (const behind of ["", "a", "€€€"]) {
          const prefix = bytesOf(before);
          const text = Buffer.concat([prefix, Uint8Array.from(bad), bytesOf(behind)]);
          expect(fault(text)).toMatchObject({ kind: "utf8", offset: prefix.length });
        }
      }
    }
  });

  it("finds a sequence that is cut off at the end", () => {
    expect(fault(Uint8Array.of(0x61, 0xf0, 0x9f, 0x98))).toMatchObject({ kind: "utf8", offset: 1 });
  });

  it("takes Python's words for numbers only when asked", () => {
    const text = bytesOf("[NaN, Infinity, -Infinity, -1]");
    expect(plainJson(parseStrictJson(text, { nonFinite: true }))).toEqual([
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      -1,
    ]);
    expect(fault("[-Infinity]")).toMatchObject({ kind: "syntax" });
  });

  it("reads 20 MB of nested text in under 5 s", () => {
    const text = bytesOf(`[${'{"a":[1,2.5,"x",null],"b":"\\u00e9"},'.repeat(550_000)}0]`);
    expect(processorMs(() => parseStrictJson(text))).toBeLessThan(5000);
  }, 60_000);
});

describe("JsonCursor", () => {
  const cursor = (text: string) => new JsonCursor(bytesOf(text));

  it.each([
    ["0", 0],
    [" 12,", 12],
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", undefined],
    ["99999999999999999", undefined],
    ["01", undefined],
    ["1.0", undefined],
    ["1e0", undefined],
    ["-1", undefined],
    ["x", undefined],
    ["", undefined],
  ])("counts %j as %s", (text, expected) => {
    const reader = cursor(text);
    expect(reader.count()).toBe(expected);
    if (expected === undefined) expect(reader.position).toBe(0);
  });

  it("skips a value of any kind and stands behind it", () => {
    for (const value of ['{"a":[1,{"b":null}]}', "[]", '"x"', "-1.5e3", "true", "null"]) {
      const reader = cursor(`${value} 7`);
      reader.skip();
      expect(reader.position).toBe(value.length);
      expect(reader.count()).toBe(7);
    }
  });

  it("checks what it skips", () => {
    for (const value of ["[1,]", '{"a"}', '"\\ud800"', "1e999", "tru", "01"]) {
      expect(() => cursor(value).skip()).toThrow(JsonError);
    }
  });

  it("looks at the bytes it was given and at no others of their buffer", () => {
    const whole = bytesOf("xx[1]xx");
    expect(parseStrictJson(whole.subarray(2, 5))).toEqual([1]);
  });
});
