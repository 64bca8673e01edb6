import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkPacked, packMatrix, unpackMatrix } from "../../../formats/tile-bitmap/matrix.ts";
import type { HalfDtype } from "../../../src/core/dtype.ts";
import { allKernels } from "./kernels.ts";

interface GoldenCase {
  readonly about: string;
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfDtype;
  readonly transposed: boolean;
  readonly values: readonly (readonly [number, number, number])[];
  readonly payload: readonly string[];
  readonly weightMeta: readonly string[];
}

const folder = new URL("../../golden/tile-bitmap/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("golden matrices", () => {
  it("are all there", () => {
    expect(files).toEqual([
      "corners.json",
      "dense.json",
      "empty.json",
      "example.json",
      "single.json",
      "tails.json",
    ]);
  });

  describe.each(files)("%s", (file) => {
    const golden = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as GoldenCase;
    const { rows, cols, dtype, transposed, values } = golden;
    const bits = new Uint16Array(rows * cols);
    for (const [row, col, value] of values) bits[row * cols + col] = value;

    it.each(allKernels)("is what the $name codec writes", (kernels) => {
      const packed = packMatrix({ rows, cols, dtype, bits }, transposed, kernels);
      expect(hex(packed.payload)).toBe(golden.payload.join(""));
      expect(hex(packed.meta)).toBe(golden.weightMeta.join(""));
      expect(packed.nonzeros).toBe(values.length);
    });

    it.each(allKernels)("is read by the $name codec", (kernels) => {
      const payload = Buffer.from(golden.payload.join(""), "hex");
      const stored = Buffer.from(golden.weightMeta.join(""), "hex");
      const meta = checkPacked(payload, stored, {}, { crc: true });
      expect(meta).toMatchObject({ dtype, transposed, nonzeros: values.length });
      expect([meta.grid.rows, meta.grid.cols]).toEqual([rows, cols]);
      expect(unpackMatrix(meta, payload, kernels)).toEqual(bits);
    });
  });
});
