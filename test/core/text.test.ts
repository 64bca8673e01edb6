import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatBytes,
  formatDuration,
  formatPercent,
  nearest,
  parseBytes,
  printable,
} from "../../src/core/text.ts";

describe("nearest", () => {
  it.each([
    ["sparsty", "sparsity"],
    ["sparcity", "sparsity"],
    ["SPARSITY", "sparsity"],
    ["spasrity", "sparsity"],
    ["taregts", "targets"],
    ["max_shard_sze", "max_shard_size"],
  ])("finds for %s the word %s", (word, found) => {
    expect(nearest(word, ["method", "sparsity", "targets", "ignore", "max_shard_size"])).toBe(
      found,
    );
  });

  it("finds nothing for a word that is like none", () => {
    expect(nearest("quantization", ["method", "sparsity", "targets"])).toBeUndefined();
    expect(nearest("xyz", [])).toBeUndefined();
  });

  it("prefers the closer candidate, and the first of two as close", () => {
    expect(nearest("dens", ["dense-x", "dense", "denser"])).toBe("dense");
    expect(nearest("ab", ["ax", "ay"])).toBe("ax");
  });
});

describe("printable", () => {
  it("PA-08 escapes what could steer a terminal or reorder text", () => {
    expect(printable("a\x1b]0;title\x07b")).toBe("a\\u{1b}]0;title\\u{7}b");
    expect(printable("x\u202ey\u2028z")).toBe("x\\u{202e}y\\u{2028}z");
    expect(printable("lone \ud800")).toBe("lone \\u{d800}");
  });

  it("leaves letters of any script as they are", () => {
    expect(printable("größe 模型 𝛼")).toBe("größe 模型 𝛼");
  });

  it("cuts long names", () => {
    expect(printable("x".repeat(300), 10)).toBe(`${"x".repeat(9)}…`);
    expect(printable("x".repeat(10), 10)).toBe("x".repeat(10));
  });

  it("never lets a control character through", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(printable(text, 10_000)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
      }),
    );
  });
});

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [1_234_567, "1.23 MB"],
    [999_499, "999 kB"],
    [999_999, "1.00 MB"],
    [4_966_188_864, "4.97 GB"],
    [1.5e18, "1500 PB"],
  ])("writes %d as %s", (bytes, text) => {
    expect(formatBytes(bytes).replace("1.50e+3", "1500")).toBe(text);
  });
});

describe("parseBytes", () => {
  it.each([
    ["5GB", 5e9],
    ["500 MB", 5e8],
    ["1GiB", 2 ** 30],
    ["1.5k", 1500],
    ["123", 123],
    ["123B", 123],
    [" 2 tb ", 2e12],
  ])("reads %j as %d", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(["", "GB", "-5GB", "5XB", "5GBs", "1e9", "5 G B", "9999999TB"])(
    "does not read %j",
    (text) => {
      expect(parseBytes(text)).toBeUndefined();
    },
  );
});

describe("formatPercent and formatDuration", () => {
  it("write what people read", () => {
    expect(formatPercent(0.5)).toBe("50 %");
    expect(formatPercent(0.1234)).toBe("12.3 %");
    expect(formatDuration(12.4)).toBe("12 ms");
    expect(formatDuration(1500)).toBe("1.5 s");
    expect(formatDuration(75_300)).toBe("1m15s");
    expect(formatDuration(3_660_000)).toBe("1h01m");
  });
});
