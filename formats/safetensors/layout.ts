/**
 * The one strong rule of a safetensors file: its tensors, in the order of their bytes, tile the
 * data section. No hole, no overlap, nothing behind; every size follows from dtype and shape.
 * Same order of checks as the reference implementation; nothing is allocated before they pass.
 */
import { DTYPE_BITS, elementCount, isDtype } from "../../src/core/dtype.ts";
import type { ErrorCode } from "../../src/core/errorCodes.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { printable } from "../../src/core/text.ts";
import type { ParsedTensor } from "./headerJson.ts";

const PARTIAL_DOWNLOAD =
  "most likely a partial download or copy: compare the size with the source's and fetch it again";

/** Sorts `tensors` by their bytes. Throws unless they tile `dataBytes` bytes. */
export function checkLayout(tensors: ParsedTensor[], dataBytes: number, label: string): void {
  sortByOffset(tensors);
  let expected = 0;
  for (const tensor of tensors) {
    const { begin, end } = tensor;
    if (begin !== expected || end < begin) {
      throw refuse("E_ST_OFFSETS", label, tensor, misplaced(begin, end, expected));
    }
    checkSize(tensor, label);
    expected = end;
  }
  if (expected > dataBytes) {
    const cut = tensors.find(({ end }) => end > dataBytes)?.name;
    throw new SpInferError(
      "E_ST_TRUNCATED",
      `${label}: expected ${expected} bytes of data, got ${dataBytes}`,
      { path: label, tensor: cut, hint: PARTIAL_DOWNLOAD },
    );
  }
  if (expected < dataBytes) {
    throw new SpInferError(
      "E_ST_SIZE",
      `${label}: ${dataBytes - expected} bytes follow the last tensor, which ends at ${expected}`,
      { path: label, hint: "the file was damaged, or something was appended to it" },
    );
  }
}

function checkSize(tensor: ParsedTensor, label: string): void {
  const { dtype, shape, begin, end } = tensor;
  // a kept tensor of unknown dtype is as large as its offsets say
  if (!isDtype(dtype)) return;
  const count = elementCount(shape);
  const bits = count === undefined ? undefined : count * DTYPE_BITS[dtype];
  if (bits === undefined || bits > Number.MAX_SAFE_INTEGER) {
    throw refuse(
      "E_ST_OVERFLOW",
      label,
      tensor,
      `of shape [${shape}] is larger than 2^53 - 1 bits`,
    );
  }
  if (bits % 8 !== 0) {
    throw refuse("E_ST_SUBBYTE", label, tensor, `of ${count} × ${dtype} does not end on a byte`);
  }
  if (end - begin !== bits / 8) {
    const found = `has ${end - begin} bytes, expected ${bits / 8} for ${dtype} [${shape}]`;
    throw refuse("E_ST_SIZE", label, tensor, found);
  }
}

function misplaced(begin: number, end: number, expected: number): string {
  if (end < begin) return `ends at ${end}, before its begin ${begin}`;
  const where = begin < expected ? "inside the tensor before it" : "behind a hole";
  return `begins at ${begin}, ${where}; expected ${expected}`;
}

function refuse(code: ErrorCode, label: string, tensor: ParsedTensor, what: string): SpInferError {
  return new SpInferError(code, `${label}: tensor "${printable(tensor.name, 100)}" ${what}`, {
    path: label,
    tensor: tensor.name,
  });
}

/** Writers put tensors in order, so this is mostly a look. */
function sortByOffset(tensors: ParsedTensor[]): void {
  const order = (a: ParsedTensor, b: ParsedTensor) => a.begin - b.begin || a.end - b.end;
  const sorted = tensors.every((tensor, i) => i === 0 || order(tensors[i - 1]!, tensor) <= 0);
  if (!sorted) tensors.sort(order);
}
