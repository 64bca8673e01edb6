/**
 * What other readers of the format are held to: generated inputs, good and damaged, with the
 * verdicts of ours. One line each: a code, or what was read.
 */
import { crc32 } from "node:zlib";
import { checkPacked, unpackMatrix } from "../../formats/tile-bitmap/matrix.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { transposeHalves } from "../../src/core/transpose.ts";
import { wasmKernels } from "../formats/tile-bitmap/kernels.ts";
import { safetensorsInput } from "../fuzz/safetensorsInputs.ts";
import { splitParts, tileBitmapInput } from "../fuzz/tileBitmapInputs.ts";
import { createRandom, type Random } from "./random.ts";
import { parseFile } from "./safetensorsFile.ts";

export interface Judged {
  /** All inputs, each behind its length as u32. */
  readonly stream: Buffer;
  readonly verdicts: readonly string[];
}

/** Packed matrices; what was read is "rows columns CRC-32 of the dense tensor". */
export function judgedMatrices(count: number, seed: number): Judged {
  return judge(count, seed, tileBitmapInput, (input) => {
    const { meta: stored, payload, crc } = splitParts(input);
    const meta = checkPacked(payload, stored, {}, { crc });
    const { rows, cols } = meta.grid;
    const bits = unpackMatrix(meta, payload, wasmKernels);
    const dense = meta.transposed ? transposeHalves(bits, rows, cols) : bits;
    const hash = crc32(new Uint8Array(dense.buffer, dense.byteOffset, dense.byteLength));
    return `${rows} ${cols} ${hash.toString(16).padStart(8, "0")}`;
  });
}

/** safetensors files; what was read is "accepted". */
export function judgedHeaders(count: number, seed: number): Judged {
  return judge(count, seed, safetensorsInput, (input) => {
    parseFile(input, { limits: DEFAULT_LIMITS });
    return "accepted";
  });
}

function judge(
  count: number,
  seed: number,
  generate: (random: Random) => Uint8Array,
  read: (input: Uint8Array) => string,
): Judged {
  const random = createRandom(seed);
  const parts: Uint8Array[] = [];
  const verdicts: string[] = [];
  for (let i = 0; i < count; i++) {
    const input = generate(random);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(input.length);
    parts.push(size, input);
    verdicts.push(verdictOf(() => read(input)));
  }
  return { stream: Buffer.concat(parts), verdicts };
}

function verdictOf(read: () => string): string {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof SpInferError) return thrown.code;
    throw thrown;
  }
}

/**
 * Where two readers' verdicts differ, as "ours → theirs: how often". Files with several faults may
 * be refused for another of them, so `accepted against refused` is told from `another code`.
 */
export function compareVerdicts(
  ours: readonly string[],
  theirs: readonly string[],
): { readonly disagreements: string[]; readonly otherCode: number } {
  const disagreements: string[] = [];
  let otherCode = 0;
  ours.forEach((mine, i) => {
    const other = theirs[i] ?? "nothing";
    if (mine === other) return;
    if (mine.startsWith("E_") && other.startsWith("E_")) otherCode++;
    else disagreements.push(`input ${i}: ${mine} → ${other}`);
  });
  return { disagreements, otherCode };
}
