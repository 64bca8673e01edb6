import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, parseLimits } from "../../src/core/limits.ts";

describe("parseLimits", () => {
  it("gives the defaults for nothing and changes what is named", () => {
    expect(parseLimits([])).toEqual(DEFAULT_LIMITS);
    expect(parseLimits(["tensors=5", "shards=7", "tensors=6"])).toEqual({
      ...DEFAULT_LIMITS,
      tensors: 6,
      shards: 7,
    });
    expect(DEFAULT_LIMITS.tensors).toBe(2_000_000);
  });

  it.each([
    "tensor=5",
    "tensors",
    "tensors=",
    "tensors= ",
    "tensors=0",
    "tensors=-1",
    "tensors=1.5",
    "tensors=abc",
    "tensors=1e400",
    "tensors=9007199254740992",
    "=5",
    "__proto__=5",
    "constructor=5",
  ])("refuses %j and names the limits", (assignment) => {
    expect(() => parseLimits([assignment])).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        message: `--limit ${assignment}: not a limit`,
        detail: { expected: expect.stringContaining("tensors, shards") },
      }),
    );
  });
});
