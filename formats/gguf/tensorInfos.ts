/**
 * Reads the list of tensors of a GGUF file and checks that they tile the data section: each
 * begins where the one before it ends, rounded up to the alignment, and the file ends with the
 * last one. This one rule excludes overlaps, holes and reads outside the file.
 */
import type { Limits } from "../../src/core/limits.ts";
import { printable } from "../../src/core/text.ts";
import type { Cursor } from "./cursor.ts";
import type { GgufTensor } from "./header.ts";
import {
  describeTensorType,
  MAX_DIMS,
  TENSOR_TYPES,
  type TensorType,
  tensorTypeOf,
} from "./types.ts";

/** A tensor as listed: its offset counts from the beginning of the data section. */
interface ListedTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: readonly number[];
  readonly bytes: number;
  readonly offset: number;
  /** Where the offset stands in the file. */
  readonly offsetAt: number;
}

/** Throws E_GGUF_STRING, _DUP, _SHAPE, _DTYPE, _BLOCK, _TRUNCATED or E_LIMIT. */
export function readTensorInfos(cursor: Cursor, count: number, limits: Limits): ListedTensor[] {
  const names = new Set<string>();
  const tensors: ListedTensor[] = [];
  for (let i = 0; i < count; i++) {
    const begin = cursor.offset;
    const name = cursor.string(limits.tensorNameBytes, "tensorNameBytes", `tensor name ${i}`);
    if (name === "") {
      throw cursor.error("E_GGUF_STRING", `tensor name ${i} is empty`, { offset: begin });
    }
    if (names.has(name)) {
      throw cursor.error("E_GGUF_DUP", `the tensor "${printable(name)}" is there twice`, {
        offset: begin,
        tensor: name,
      });
    }
    names.add(name);
    tensors.push(readTensorInfo(cursor, name));
  }
  return tensors;
}

function readTensorInfo(cursor: Cursor, name: string): ListedTensor {
  const what = `tensor "${printable(name)}"`;
  const dims = readDims(cursor, name, what);
  const typeAt = cursor.offset;
  const id = cursor.u32(what);
  const type = tensorTypeOf(id);
  if (type === undefined) {
    throw cursor.error("E_GGUF_DTYPE", `${what} is of ${describeTensorType(id)}`, {
      offset: typeAt,
      tensor: name,
      expected: Object.keys(TENSOR_TYPES).join(", "),
      hint: "use a GGUF of one of these types, or the model's original safetensors",
    });
  }
  const { blockWeights, blockBytes } = TENSOR_TYPES[type];
  const cols = dims[0] ?? 1;
  if (cols % blockWeights !== 0) {
    throw cursor.error(
      "E_GGUF_BLOCK",
      `${what} has rows of ${cols} weights, not a multiple of the ${blockWeights} of ${type}`,
      { offset: typeAt, tensor: name },
    );
  }
  const weights = dims.reduce((product, size) => product * size, 1);
  const offsetAt = cursor.offset;
  const bytes = (weights / blockWeights) * blockBytes;
  return { name, type, dims, bytes, offset: cursor.u64(what), offsetAt };
}

function readDims(cursor: Cursor, name: string, what: string): number[] {
  const begin = cursor.offset;
  const count = cursor.u32(what);
  if (count > MAX_DIMS) {
    throw cursor.error("E_GGUF_SHAPE", `${what} has ${count} dimensions, at most ${MAX_DIMS}`, {
      offset: begin,
      tensor: name,
    });
  }
  const dims: number[] = [];
  let product = 1;
  for (let i = 0; i < count; i++) {
    const size = cursor.u64(what);
    dims.push(size);
    // a dimension of zero must not hide an overflow of the others
    product *= Math.max(size, 1);
    if (product * 4 > Number.MAX_SAFE_INTEGER) {
      throw cursor.error("E_GGUF_SHAPE", `${what} has the shape ${dims.join(" x ")}, too large`, {
        offset: begin,
        tensor: name,
      });
    }
  }
  return dims;
}

/** Gives the tensors their place in the file. Throws E_GGUF_OFFSETS or E_GGUF_TRUNCATED. */
export function placeTensors(
  listed: readonly ListedTensor[],
  dataBegin: number,
  alignment: number,
  cursor: Cursor,
): GgufTensor[] {
  let expected = 0;
  let dataEnd = 0;
  const tensors = listed.map(({ name, type, dims, bytes, offset, offsetAt }): GgufTensor => {
    if (offset !== expected) {
      throw cursor.error(
        "E_GGUF_OFFSETS",
        `tensor "${printable(name)}" begins at ${offset} of the data, expected ${expected}`,
        { offset: offsetAt, tensor: name },
      );
    }
    dataEnd = offset + bytes;
    if (dataBegin + dataEnd > cursor.fileSize) {
      throw cursor.error(
        "E_GGUF_TRUNCATED",
        `tensor "${printable(name)}" ends at byte ${dataBegin + dataEnd}, the file at ${cursor.fileSize}`,
        { offset: offsetAt, tensor: name, hint: "download or copy the file again" },
      );
    }
    expected = align(dataEnd, alignment);
    return { name, type, dims, begin: dataBegin + offset, end: dataBegin + dataEnd };
  });
  if (cursor.fileSize > dataBegin + expected) {
    throw cursor.error(
      "E_GGUF_OFFSETS",
      `the tensors end at byte ${dataBegin + expected}, the file at ${cursor.fileSize}`,
      { offset: dataBegin + expected },
    );
  }
  return tensors;
}

export function align(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}
