/** The 24 malformed and odd files on which readers of safetensors disagree, with both verdicts. */
import { describe, expect, it } from "vitest";
import { describePython } from "../../helpers/python.ts";
import { parseFile, rawSafetensors, refusal, u8 } from "../../helpers/safetensorsFile.ts";
import { referenceRead } from "./reference.ts";

interface Case {
  readonly name: string;
  readonly file: Uint8Array;
  /** Our code; undefined: accepted. */
  readonly code: string | undefined;
  readonly reference: "accepts" | "refuses";
}

const entry = '"dtype":"U8","shape":[4],"data_offsets":[0,4]';

const refused = (name: string, code: string, header: unknown, bytes = 4): Case => ({
  name,
  file: rawSafetensors(header, bytes),
  code,
  reference: "refuses",
});
const accepted = (name: string, header: unknown, bytes = 4): Case => ({
  name,
  file: rawSafetensors(header, bytes),
  code: undefined,
  reference: "accepts",
});

const CASES: readonly Case[] = [
  accepted("a well-formed file", { a: u8(0, 4) }),
  refused("a hole", "E_ST_OFFSETS", { a: u8(0, 1), b: u8(2, 4) }),
  refused("an overlap", "E_ST_OFFSETS", { a: u8(0, 3), b: u8(2, 4) }),
  refused(
    "a key twice with other offsets",
    "E_ST_DUP_KEY",
    `{"a":{${entry}},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`,
    8,
  ),
  {
    name: "a key twice with the same offsets",
    file: rawSafetensors(
      `{"a":{${entry}},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
      4,
    ),
    code: "E_ST_DUP_KEY",
    reference: "accepts",
  },
  refused("bytes behind the data", "E_ST_SIZE", { a: u8(0, 4) }, 7),
  refused("data one byte short", "E_ST_TRUNCATED", { a: u8(0, 4) }, 3),
  refused(
    "a shape that wraps to 0",
    "E_ST_OVERFLOW",
    { a: { dtype: "U8", shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] } },
    0,
  ),
  refused(
    "a shape that overflows, then times 0",
    "E_ST_OVERFLOW",
    { a: { dtype: "U8", shape: [2 ** 32, 2 ** 32, 2 ** 32, 0], data_offsets: [0, 0] } },
    0,
  ),
  refused("an unknown dtype", "E_ST_DTYPE_UNSUPPORTED", { a: { ...u8(0, 4), dtype: "F7" } }),
  refused("F4 with an odd count", "E_ST_SUBBYTE", { a: { ...u8(0, 4), dtype: "F4", shape: [7] } }),
  refused(
    "1.0 in a shape",
    "E_ST_JSON_TYPE",
    `{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}`,
  ),
  refused("a number in the metadata", "E_ST_JSON_TYPE", { __metadata__: { a: 1 }, a: u8(0, 4) }),
  refused("a list for a header", "E_ST_JSON_TYPE", "[]", 0),
  refused("a lone surrogate", "E_ST_UTF8", `{"\\ud800":{${entry}}}`),
  refused(
    "a negative dimension",
    "E_ST_JSON_TYPE",
    `{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}`,
  ),
  refused("NUL padding", "E_ST_JSON", `{"a":{${entry}}}\0\0\0\0`),
  refused("a byte-order mark", "E_ST_JSON", `\ufeff{"a":{${entry}}}`),
  refused("an empty header", "E_ST_JSON_TYPE", "", 0),
  {
    name: "a git-lfs pointer",
    file: Buffer.from(
      `version https://git-lfs.github.com/spec/v1\noid sha256:${"0f".repeat(32)}\nsize 12\n`,
    ),
    code: "E_NOT_SAFETENSORS",
    reference: "refuses",
  },
  {
    name: "an HTML error page",
    file: Buffer.from("<!doctype html><html><title>503</title></html>"),
    code: "E_NOT_SAFETENSORS",
    reference: "refuses",
  },
  accepted("an unknown key in an entry", { a: { ...u8(0, 4), more: { x: [1] } } }),
  accepted("leading white space", `  {"a":{${entry}}}`),
  accepted("a tensor named __proto__", `{"__proto__":{${entry}}}`),
];

describe("the matrix of 24 files", () => {
  it("has 24", () => {
    expect(CASES).toHaveLength(24);
  });

  it.each(CASES)("$name: $code", async ({ file, code }) => {
    if (code === undefined) expect(parseFile(file).entries).toHaveLength(1);
    else expect((await refusal(() => parseFile(file))).code).toBe(code);
  });
});

describePython("the matrix of 24 files in the Python package", () => {
  it("has the verdicts that the cases say", () => {
    const verdicts = referenceRead(CASES.map(({ file }) => file)).map((tensors) =>
      tensors === undefined ? "refuses" : "accepts",
    );
    expect(verdicts).toEqual(CASES.map(({ reference }) => reference));
    expect(verdicts.filter((verdict) => verdict === "accepts")).toHaveLength(5);
  });
});
