import { describe, expect, it } from "vitest";
import type {
  ConfigSource,
  Table,
} from "../../../formats/gguf/architectures/defineArchitecture.ts";
import type { GgufValue } from "../../../formats/gguf/header.ts";
import { metadataOf } from "../../../formats/gguf/metadata.ts";
import { ropeScaling } from "../../../formats/gguf/ropeScaling.ts";
import { type Sizes, shortestFloat } from "../../../formats/gguf/sizes.ts";

const sizes = { rotaryDims: 128, ropeTheta: 500_000, context: 8192 } as Sizes;

function scaling(keys: Record<string, GgufValue>, tables: Partial<Record<Table, number[]>> = {}) {
  const given = Object.entries(tables) as [Table, number[]][];
  const source: ConfigSource = {
    arch: "llama",
    metadata: metadataOf(new Map(Object.entries(keys)), "model.gguf"),
    sizes,
    groups: new Set(),
    tables: new Map(given.map(([name, values]) => [name, Float32Array.from(values)])),
  };
  return ropeScaling(source);
}

/** rope_freqs.weight as llama.cpp's converter computes it. */
function divisors(factor: number, low: number, high: number, context: number): number[] {
  return Array.from({ length: sizes.rotaryDims / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * sizes.ropeTheta ** ((2 * i) / sizes.rotaryDims);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

describe("ropeScaling", () => {
  it.each([
    ["Llama 3.1", 8, 1, 4, 8192],
    ["Llama 3.2", 32, 1, 4, 8192],
    ["another", 16, 1, 8, 4096],
    ["one more", 4, 1, 2, 32_768],
  ])("finds the rule of %s from its divisors", (_, factor, low, high, context) => {
    const table = { "rope_freqs.weight": divisors(factor, low, high, context) };
    expect(scaling({}, table)).toEqual({
      rope_type: "llama3",
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: context,
    });
  });

  it("gives none for divisors of 1, and refuses those that follow no rule", () => {
    expect(scaling({}, { "rope_freqs.weight": new Array(64).fill(1) })).toBeNull();
    const odd = divisors(8, 1, 4, 8192);
    odd[40] = odd[40]! * 1.01;
    expect(() => scaling({}, { "rope_freqs.weight": odd })).toThrow("the rule of Llama 3");
    const nan = { "rope_freqs.weight": new Array(64).fill(Number.NaN) };
    expect(() => scaling({}, nan)).toThrow(expect.objectContaining({ code: "E_GGUF_METADATA" }));
  });

  const type = (value: string): GgufValue => ({ type: "string", value });
  const float = (value: number): GgufValue => ({ type: "f32", value: Math.fround(value) });
  it("takes what the metadata states", () => {
    expect(scaling({})).toBeNull();
    expect(scaling({ "llama.rope.scaling.type": type("none") })).toBeNull();
    expect(
      scaling({
        "llama.rope.scaling.type": type("linear"),
        "llama.rope.scaling.factor": float(2.5),
      }),
    ).toEqual({ rope_type: "linear", factor: 2.5 });
    expect(
      scaling({
        "llama.rope.scaling.type": type("yarn"),
        "llama.rope.scaling.factor": float(4),
        "llama.rope.scaling.original_context_length": { type: "u32", value: 32_768 },
        "llama.rope.scaling.yarn_beta_fast": float(32),
      }),
    ).toEqual({
      rope_type: "yarn",
      factor: 4,
      original_max_position_embeddings: 32_768,
      beta_fast: 32,
    });
    expect(() => scaling({ "llama.rope.scaling.type": type("yarn") })).toThrow(
      'factor" is missing',
    );
  });

  it("wants both tables of LongRoPE", () => {
    expect(() => scaling({}, { "rope_factors_long.weight": [1] })).toThrow("one of its two tables");
  });
});

it("shortestFloat finds what the author wrote before it was rounded to binary32", () => {
  for (const value of [
    1e-5, 1e-6, 0.1, 10_000, 500_000, 1e6, 1.0300000429153442, 3.4028235e38, 0,
  ]) {
    const short = shortestFloat(Math.fround(value));
    expect(Math.fround(short)).toBe(Math.fround(value));
    expect(String(short).length).toBeLessThanOrEqual(String(value).length);
  }
  expect(shortestFloat(Math.fround(1e-5))).toBe(1e-5);
});
