/** What --sparsity of a sweep may say. */
import { describe, expect, it } from "vitest";
import { parseSparsities } from "../../src/pipeline/sweep/points.ts";

describe("the sparsities of a sweep", () => {
  it.each([
    ["0.5", [0.5]],
    ["0.6,0.5,0.6", [0.5, 0.6]],
    ["0.3..0.7", [0.3, 0.4, 0.5, 0.6, 0.7]],
    ["0.5..0.6..0.05,0", [0, 0.5, 0.55, 0.6]],
  ])("%s", (text, values) => {
    expect(parseSparsities(text)).toEqual(values);
  });

  it.each([
    ...["", "half", "0.5,", "-0.1", "1", "0.5;0.6", "0.3..", "..0.7", "0.7..0.3", "0.3..half"],
    ...["0.3..0.7..0", "0.3..0.7..0.0000001", "0.3..0.7..1e-9", "0.3..0.7..0.1..0.1", "0.9..1"],
  ])("not %j", (text) => {
    expect(() => parseSparsities(text)).toThrow(
      expect.objectContaining({ code: "E_OPTION", message: expect.stringContaining("--sparsity") }),
    );
  });
});
