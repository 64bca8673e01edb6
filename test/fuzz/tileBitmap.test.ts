import { expect, test } from "vitest";
import { checkPacked, packMatrix, unpackMatrix } from "../../formats/tile-bitmap/matrix.ts";
import { wasmKernels } from "../formats/tile-bitmap/kernels.ts";
import { fuzz, fuzzFactor, fuzzSummary } from "./harness.ts";
import { splitParts, tileBitmapInput } from "./tileBitmapInputs.ts";

/**
 * What is accepted is more than free of faults: it is the one encoding of its matrix, so packing
 * what was unpacked gives it back.
 */
function checkAndRepack(input: Uint8Array): void {
  const { meta: stored, payload, crc } = splitParts(input);
  const meta = checkPacked(payload, stored, { tensor: "a.weight" }, { crc });
  const { rows, cols } = meta.grid;
  const matrix = { rows, cols, dtype: meta.dtype, bits: unpackMatrix(meta, payload, wasmKernels) };
  const again = packMatrix(matrix, meta.transposed, wasmKernels);
  if (Buffer.compare(again.payload, payload) !== 0) throw new Error("another payload");
  if (crc && Buffer.compare(again.meta, stored) !== 0) throw new Error("another weight_meta");
}

test(
  "the tile-bitmap reader holds on a million generated matrices",
  () => {
    const report = fuzz({
      name: "tile-bitmap",
      count: 1_000_000,
      generate: tileBitmapInput,
      parse: checkAndRepack,
      codes: [
        "E_TB_VERSION",
        "E_TB_LAYOUT",
        "E_TB_OFFSETS",
        "E_TB_COUNT",
        "E_TB_ALIGN",
        "E_TB_POPCOUNT",
        "E_TB_PADDING",
        "E_TB_ZERO",
        "E_HASH",
      ],
      headerCodes: ["E_TB_VERSION", "E_TB_LAYOUT"],
    });
    console.info(fuzzSummary("tile-bitmap", report));
    expect(report.count).toBeGreaterThanOrEqual(1_000_000);
    expect(report.accepted / report.count).toBeGreaterThan(0.02);
  },
  300_000 * fuzzFactor(),
);
