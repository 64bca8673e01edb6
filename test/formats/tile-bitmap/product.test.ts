/** The product on packed bytes against the plain product of the dense matrix. */
import { describe, expect, it } from "vitest";
import { plainKernels } from "../../../formats/tile-bitmap/chunks.ts";
import { checkPacked, packMatrix } from "../../../formats/tile-bitmap/matrix.ts";
import { multiplyPacked } from "../../../formats/tile-bitmap/product.ts";
import { bf16ToFloat, fp16ToFloat } from "../../../src/core/half.ts";
import { createRandom } from "../../helpers/random.ts";
import { randomMatrix } from "./matrices.ts";

describe("multiplyPacked", () => {
  it.each([
    [1, 1, "F16"],
    [33, 65, "F16"],
    [64, 128, "BF16"],
    [97, 131, "BF16"],
  ] as const)("multiplies %d × %d of %s as the dense matrix does", (rows, cols, dtype) => {
    const random = createRandom(rows * 1000 + cols);
    const matrix = randomMatrix(random, rows, cols, 0.5, dtype);
    const toFloat = dtype === "BF16" ? bf16ToFloat : fp16ToFloat;
    const { payload, meta } = packMatrix(matrix, false, plainKernels);
    const tokens = 3;
    const one = dtype === "BF16" ? 0x3f80 : 0x3c00;
    const x = Uint16Array.from({ length: tokens * cols }, (_, i) => one + (i % 37));
    const checked = checkPacked(payload, meta, {}, { crc: true });
    const { sums, magnitudes } = multiplyPacked(checked, payload, x, tokens);
    for (let token = 0; token < tokens; token++) {
      for (let row = 0; row < rows; row++) {
        let [sum, size] = [0, 0];
        for (let col = 0; col < cols; col++) {
          const product = toFloat(matrix.bits[row * cols + col]!) * toFloat(x[token * cols + col]!);
          sum += product;
          size += Math.abs(product);
        }
        expect(sums[token * rows + row]).toBe(sum);
        expect(magnitudes[token * rows + row]).toBe(size);
      }
    }
  });
});
