import { describe, expect, it } from "vitest";
import {
  dropCount,
  keptByPattern,
  parsePattern,
  patternName,
  UNSTRUCTURED,
} from "../../pruners/pattern.ts";

describe("parsePattern", () => {
  it("reads every N < M ≤ 32, and writes it back", () => {
    for (let m = 2; m <= 32; m++) {
      for (let n = 1; n < m; n++) {
        expect(parsePattern(`${n}:${m}`)).toEqual({ kind: "n:m", n, m });
        expect(patternName(parsePattern(`${n}:${m}`))).toBe(`${n}:${m}`);
      }
    }
    expect(parsePattern("unstructured")).toBe(UNSTRUCTURED);
    expect(patternName(UNSTRUCTURED)).toBe("unstructured");
  });

  it.each([
    ...["", "2", "2:", ":4", "2:4:8", "2-4", " 2:4", "2:4 ", "2.0:4", "-2:4", "+2:4", "a:b"],
    ...["0:4", "4:4", "5:4", "16:33", "1:33", "99999:4", "1:0", "Unstructured", "2：4"],
  ])('refuses "%s"', (text) => {
    expect(() => parsePattern(text)).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        message: `pattern "${text}" is not a sparsity pattern`,
        detail: expect.objectContaining({
          expected: "unstructured, or N:M with 1 ≤ N < M ≤ 32, such as 2:4",
        }),
      }),
    );
  });
});

describe("counts", () => {
  it.each([
    [8, 2, 4, 4],
    [9, 2, 4, 5],
    [10, 2, 4, 6],
    [11, 2, 4, 6],
    [3, 2, 4, 2],
    [1, 31, 32, 1],
    [65, 31, 32, 63],
  ])("of %d columns %d:%d keeps %d", (cols, n, m, kept) => {
    expect(keptByPattern(cols, n, m)).toBe(kept);
  });

  it.each([
    [10, 0.5, 5],
    [11, 0.5, 5],
    [100, 0.29, 28], // 100 × 0.29 is 28.999999999999996 in doubles, here as in the reference code
    [1, 0.99, 0],
    [7, 0, 0],
    [7, 1, 7],
    [3, 1e-9, 0],
  ])("of %d weights sparsity %d drops %d", (count, sparsity, dropped) => {
    expect(dropCount(count, sparsity)).toBe(dropped);
  });
});
