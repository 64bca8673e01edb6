import { expect, test } from "vitest";
import type { GgufHeader } from "../../formats/gguf/header.ts";
import { parseGguf } from "../../formats/gguf/reader.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { ggufInput } from "./ggufInputs.ts";
import { fuzz, fuzzFactor, fuzzSummary } from "./harness.ts";

/** Low enough that small files reach them. */
const limits = {
  ...DEFAULT_LIMITS,
  ggufKeys: 12,
  ggufArrayItems: 32,
  ggufStringBytes: 100,
  tensors: 8,
  tensorNameBytes: 64,
};

/** Parses the whole file, and looks at what was accepted. */
function parse(bytes: Uint8Array): GgufHeader {
  const header = parseGguf(bytes, bytes.length, "model.gguf", limits);
  if ("atLeast" in header) throw new Error("asked for more than the whole file");
  let begin = header.dataBegin;
  for (const tensor of header.tensors) {
    if (tensor.begin < begin || tensor.end < tensor.begin || tensor.end > bytes.length) {
      throw new Error(`${tensor.name} lies at ${tensor.begin}..${tensor.end} of ${bytes.length}`);
    }
    begin = tensor.end;
  }
  return header;
}

test(
  "the GGUF header parser holds on a million generated files",
  () => {
    const report = fuzz({
      name: "gguf",
      count: 1_000_000,
      generate: ggufInput,
      parse,
      codes: [
        "E_GGUF_MAGIC",
        "E_GGUF_VERSION",
        "E_GGUF_COUNT",
        "E_GGUF_STRING",
        "E_GGUF_DUP",
        "E_GGUF_TYPE",
        "E_GGUF_ALIGN",
        "E_GGUF_SHAPE",
        "E_GGUF_DTYPE",
        "E_GGUF_BLOCK",
        "E_GGUF_OFFSETS",
        "E_GGUF_TRUNCATED",
        "E_LIMIT",
        "E_LIMIT_TENSORS",
      ],
      // what ends in the fixed header or in the metadata; the rest got as far as the tensors
      headerCodes: [
        "E_GGUF_MAGIC",
        "E_GGUF_VERSION",
        "E_GGUF_COUNT",
        "E_GGUF_STRING",
        "E_GGUF_TYPE",
        "E_GGUF_ALIGN",
        "E_LIMIT",
        "E_LIMIT_TENSORS",
      ],
    });
    console.info(fuzzSummary("gguf", report));
    expect(report.count).toBeGreaterThanOrEqual(1_000_000);
    expect(report.accepted).toBeGreaterThan(0);
  },
  300_000 * fuzzFactor(),
);

test(
  "a header cut anywhere asks for more of the file and then comes out the same",
  () => {
    fuzz({
      name: "gguf in pieces",
      count: 3000,
      seed: 1,
      generate: ggufInput,
      parse: (bytes) => {
        const whole = outcome(() => parse(bytes));
        for (let size = 0; ; ) {
          const part = outcome(() =>
            parseGguf(bytes.subarray(0, size), bytes.length, "model.gguf", limits),
          );
          if (typeof part !== "object" || !("atLeast" in part)) {
            expect(part).toEqual(whole);
            return;
          }
          expect(part.atLeast).toBeGreaterThan(size);
          expect(part.atLeast).toBeLessThanOrEqual(bytes.length);
          size = part.atLeast;
        }
      },
      codes: [],
      headerCodes: [],
    });
  },
  60_000 * fuzzFactor(),
);

/** What comes out, or the message of the error. */
function outcome<Result extends object>(run: () => Result): Result | string {
  try {
    return run();
  } catch (thrown) {
    return String(thrown);
  }
}
