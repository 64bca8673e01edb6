/**
 * Decodes one GGUF tensor: dequantises, undoes llama.cpp's changes, casts.
 *
 * Memory: the output, and a scratch of about 256 KiB; never a binary32 copy of the tensor.
 * Values already in the wanted 16-bit type are copied, so that NaN payloads survive.
 */
import type { Encoding, TensorEntry } from "../../src/core/archive.ts";
import { elementCount, isWeightDtype, type WeightDtype } from "../../src/core/dtype.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { castFloats } from "../../src/core/half.ts";
import { printable } from "../../src/core/text.ts";
import type { Decoded } from "../defineFormat.ts";
import { DEQUANTIZERS } from "./dequant/index.ts";
import { type GgufEncoding, ggufEncoding } from "./encoding.ts";
import { TENSOR_TYPES } from "./types.ts";

const SCRATCH_WEIGHTS = 65_536;

/** A tensor as rows that can be decoded one by one. */
interface Rows {
  readonly rows: number;
  readonly cols: number;
  readonly rowBytes: number;
  readonly encoding: GgufEncoding;
  readonly dtype: WeightDtype;
}

/** Throws E_GGUF_TRUNCATED when `stored` is not exactly the tensor's bytes. */
export function decodeGguf(
  entry: TensorEntry & { readonly encoding: Encoding },
  stored: readonly Uint8Array[],
): Decoded {
  const rows = rowsOf(entry);
  const source = stored[0];
  const expected = rows.rows * rows.rowBytes;
  if (source === undefined || stored.length !== 1 || source.length !== expected) {
    throw new SpInferError(
      "E_GGUF_TRUNCATED",
      `tensor "${printable(entry.name)}" takes ${expected} bytes, ${source?.length ?? 0} were given`,
      { tensor: entry.name },
    );
  }
  const { type, subtractOne } = rows.encoding;
  if (type === rows.dtype && subtractOne === undefined) return { bytes: copyRows(rows, source) };
  return rows.dtype === "F32" ? decodeFloats(rows, source) : decodeHalves(rows, rows.dtype, source);
}

function rowsOf(entry: TensorEntry & { readonly encoding: Encoding }): Rows {
  const encoding = ggufEncoding(entry.encoding);
  const { dtype, shape } = entry;
  const count = elementCount(shape);
  const { blockWeights, blockBytes } = TENSOR_TYPES[encoding.type];
  // a vector has one row, unless its elements are those of heads to be put in order
  const rows = shape.length < 2 && encoding.permuteHeads === undefined ? 1 : (shape[0] ?? 1);
  const cols = count === undefined || rows === 0 ? 0 : count / rows;
  const heads = encoding.permuteHeads ?? 1;
  if (!isWeightDtype(dtype) || count === undefined || cols % blockWeights !== 0) {
    throw new SpInferError("E_INTERNAL", `${dtype} [${shape.join(", ")}] is no GGUF tensor`);
  }
  if (encoding.permuteHeads !== undefined && rows % (2 * heads) !== 0) {
    throw new SpInferError("E_INTERNAL", `${rows} rows are not those of ${heads} heads`);
  }
  return { rows, cols, rowBytes: (cols / blockWeights) * blockBytes, encoding, dtype };
}

/**
 * The row of the file that holds row `row` of the tensor. llama.cpp rotates neighbouring rows of
 * a head, transformers rows half a head apart: row (half, i) of a head is stored at 2·i + half.
 */
function storedRow(row: number, { rows, encoding: { permuteHeads } }: Rows): number {
  if (permuteHeads === undefined) return row;
  const headRows = rows / permuteHeads;
  const inHead = row % headRows;
  const half = inHead < headRows / 2 ? 0 : 1;
  return row - inHead + 2 * (inHead - half * (headRows / 2)) + half;
}

function copyRows(tensor: Rows, source: Uint8Array): Uint8Array {
  if (tensor.encoding.permuteHeads === undefined) return new Uint8Array(source);
  const { rows, rowBytes } = tensor;
  const target = new Uint8Array(source.length);
  for (let row = 0; row < rows; row++) {
    const from = storedRow(row, tensor) * rowBytes;
    target.set(source.subarray(from, from + rowBytes), row * rowBytes);
  }
  return target;
}

/** Runs of weights that lie one after the other in the file and in the tensor. */
function* runsOf(tensor: Rows): Generator<{ from: number; to: number; count: number }> {
  const { rows, cols, rowBytes } = tensor;
  const { blockWeights, blockBytes } = TENSOR_TYPES[tensor.encoding.type];
  const permuted = tensor.encoding.permuteHeads !== undefined;
  const runs = permuted ? rows : 1;
  const runWeights = permuted ? cols : rows * cols;
  for (let run = 0; run < runs; run++) {
    const begin = permuted ? storedRow(run, tensor) * rowBytes : 0;
    for (let done = 0; done < runWeights; done += SCRATCH_WEIGHTS) {
      const from = begin + (done / blockWeights) * blockBytes;
      const count = Math.min(SCRATCH_WEIGHTS, runWeights - done);
      yield { from, to: run * runWeights + done, count };
    }
  }
}

function subtractOne(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = values[i]! - 1;
}

function decodeFloats(tensor: Rows, source: Uint8Array): Decoded {
  const { type } = tensor.encoding;
  const target = new Float32Array(tensor.rows * tensor.cols);
  for (const { from, to, count } of runsOf(tensor)) {
    DEQUANTIZERS[type](source, from, target.subarray(to, to + count), count);
  }
  if (tensor.encoding.subtractOne) subtractOne(target);
  return { bytes: new Uint8Array(target.buffer), overflowed: 0, underflowed: 0 };
}

function decodeHalves(tensor: Rows, dtype: "F16" | "BF16", source: Uint8Array): Decoded {
  const { type } = tensor.encoding;
  const target = new Uint16Array(tensor.rows * tensor.cols);
  const scratch = new Float32Array(Math.min(SCRATCH_WEIGHTS, target.length));
  let overflowed = 0;
  let underflowed = 0;
  for (const { from, to, count } of runsOf(tensor)) {
    const values = scratch.subarray(0, count);
    DEQUANTIZERS[type](source, from, values, count);
    if (tensor.encoding.subtractOne) subtractOne(values);
    const counts = castFloats(values, dtype, target.subarray(to, to + count));
    overflowed += counts.overflowed;
    underflowed += counts.underflowed;
  }
  return { bytes: new Uint8Array(target.buffer), overflowed, underflowed };
}
