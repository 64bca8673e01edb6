import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editJsonObject } from "../../src/core/jsonEdit.ts";
import { JsonError } from "../../src/core/jsonError.ts";

const edit = (text: string, changes: Record<string, unknown>) =>
  editJsonObject(new TextEncoder().encode(text), changes);

describe("editJsonObject", () => {
  it("adds a key and leaves the rest as it was written", () => {
    const text = '{\n  "z": 1.0,\n  "eps": 1e-05,\n  "t": [0.0, Infinity],\n  "é": "\\u00e9"\n}\n';
    expect(edit(text, { q: { method: "spinfer", list: [1] } })).toBe(
      '{\n  "z": 1.0,\n  "eps": 1e-05,\n  "t": [0.0, Infinity],\n  "é": "\\u00e9",\n' +
        '  "q": {\n    "method": "spinfer",\n    "list": [\n      1\n    ]\n  }\n}\n',
    );
  });

  it("changes a key in its place", () => {
    expect(edit('{"a": 1, "b": [2], "c": 3}', { b: true })).toBe('{"a": 1,"b": true,"c": 3}');
  });

  it.each([
    ["the first", "a", '{\n "b": 2.0,\n "c": 3\n}'],
    ["one in between", "b", '{\n "a": 1,\n "c": 3\n}'],
    ["the last", "c", '{\n "a": 1,\n "b": 2.0\n}'],
    ["one that is not there", "d", '{\n "a": 1,\n "b": 2.0,\n "c": 3\n}'],
  ])("takes away %s", (_, key, expected) => {
    expect(edit('{\n "a": 1,\n "b": 2.0,\n "c": 3\n}', { [key]: undefined })).toBe(expected);
  });

  it("fills an empty object, and empties a full one", () => {
    expect(edit("{}", { a: 1 })).toBe('{\n  "a": 1\n}\n');
    expect(edit('{"a": 1}', { a: undefined })).toBe("{}\n");
  });

  it("gives the object that the changes say, for any object", () => {
    const key = fc.string().filter((text) => text !== "__proto__");
    const values = fc.dictionary(key, fc.jsonValue());
    fc.assert(
      fc.property(values, values, fc.constantFrom(undefined, 2, "\t"), (given, changes, indent) => {
        const text = JSON.stringify(given, null, indent);
        const expected = JSON.parse(JSON.stringify({ ...given, ...changes })) as unknown;
        expect(JSON.parse(edit(text, changes))).toEqual(expected);
      }),
    );
  });

  it.each(["[]", "{", '{"a":1,"a":2}', "{}x"])("refuses %s", (text) => {
    expect(() => edit(text, {})).toThrow(JsonError);
  });
});
