import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { parseFile } from "../helpers/safetensorsFile.ts";
import { fuzz, fuzzFactor, fuzzSummary } from "./harness.ts";
import { safetensorsInput } from "./safetensorsInputs.ts";

/** Low enough that small files reach them. */
const limits = { ...DEFAULT_LIMITS, tensors: 5, dims: 6, tensorNameBytes: 64, headerBytes: 2000 };

test(
  "the safetensors header parser holds on a million generated files",
  () => {
    const report = fuzz({
      name: "safetensors",
      count: 1_000_000,
      generate: safetensorsInput,
      parse: (file) => parseFile(file, { limits }),
      codes: [
        "E_ST_SHORT",
        "E_ST_HEADER_TOO_LARGE",
        "E_ST_HEADER_LENGTH",
        "E_ST_UTF8",
        "E_ST_JSON",
        "E_ST_JSON_TYPE",
        "E_ST_DUP_KEY",
        "E_ST_DTYPE_UNSUPPORTED",
        "E_ST_OFFSETS",
        "E_ST_SIZE",
        "E_ST_TRUNCATED",
        "E_ST_OVERFLOW",
        "E_ST_SUBBYTE",
        "E_NOT_SAFETENSORS",
        "E_LIMIT",
        "E_LIMIT_TENSORS",
      ],
      headerCodes: [
        "E_ST_SHORT",
        "E_ST_HEADER_TOO_LARGE",
        "E_ST_HEADER_LENGTH",
        "E_ST_UTF8",
        "E_ST_JSON",
        "E_ST_JSON_TYPE",
        "E_ST_DUP_KEY",
        "E_ST_DTYPE_UNSUPPORTED",
        "E_NOT_SAFETENSORS",
        "E_LIMIT",
        "E_LIMIT_TENSORS",
      ],
    });
    console.info(fuzzSummary("safetensors", report));
    expect(report.count).toBeGreaterThanOrEqual(1_000_000);
    expect(report.accepted).toBeGreaterThan(0);
  },
  300_000 * fuzzFactor(),
);
