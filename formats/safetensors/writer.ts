/**
 * Writes safetensors, the same bytes for the same tensors every time.
 *
 * A streaming writer does not know the size of a packed tensor before it has packed it, but must
 * place the data section first. So `planHeader` bounds the header from names, dtypes and largest
 * shapes; the data begins at 8 + that bound, and `encodeHeader` fills what is not used with
 * spaces, which the format allows behind the JSON.
 */
import { DTYPE_BITS, type Dtype, denseBytes } from "../../src/core/dtype.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { printable } from "../../src/core/text.ts";
import { LENGTH_BYTES } from "./header.ts";
import { METADATA_KEY } from "./headerJson.ts";

/** The data section of a streamed file begins on a multiple of this. */
export const DATA_ALIGN = 64;
/** The format itself asks for this much. */
const HEADER_ALIGN = 8;
const SPACE = 0x20;

export type Metadata = Readonly<Record<string, string>>;

/** A tensor before its size is known: no dimension will be larger than in `maxShape`. */
export interface PlannedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly maxShape: readonly number[];
}

/** A tensor in its place; begin..end are offsets in the data section. */
export interface PlacedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Bytes to reserve for the JSON of a header with these tensors, in any order: enough for whatever
 * sizes they turn out to have, and 8 + that many bytes are a multiple of DATA_ALIGN.
 * Throws E_LIMIT when no safetensors header can hold so many names.
 */
export function planHeader(tensors: readonly PlannedTensor[], metadata: Metadata = {}): number {
  const largestOffset = tensors.reduce(
    (sum, { dtype, maxShape }) => sum + (denseBytes(dtype, maxShape) ?? Number.MAX_SAFE_INTEGER),
    0,
  );
  const end = Math.min(largestOffset, Number.MAX_SAFE_INTEGER);
  const largest = tensors.map(({ name, dtype, maxShape }) => ({
    name,
    dtype,
    shape: maxShape,
    begin: end,
    end,
  }));
  const bytes = LENGTH_BYTES + Buffer.byteLength(headerText(largest, metadata));
  const reserved = Math.ceil(bytes / DATA_ALIGN) * DATA_ALIGN - LENGTH_BYTES;
  if (reserved > DEFAULT_LIMITS.headerBytes) {
    throw new SpInferError(
      "E_LIMIT",
      `a header for ${tensors.length} tensors needs ${reserved} bytes, over the format's ${DEFAULT_LIMITS.headerBytes}`,
      { hint: "spread the tensors over more files with a smaller --max-shard-size" },
    );
  }
  return reserved;
}

/**
 * The first 8 + `reservedBytes` bytes of a file: length, JSON, spaces. `tensors` come in the
 * order of their bytes and tile the data section from 0.
 */
export function encodeHeader(
  tensors: readonly PlacedTensor[],
  metadata: Metadata,
  reservedBytes: number,
): Uint8Array {
  let expected = 0;
  for (const { name, begin, end } of tensors) {
    if (begin !== expected || end < begin) {
      throw internal(`tensor "${printable(name)}" was placed at ${begin}, not at ${expected}`);
    }
    expected = end;
  }
  const text = Buffer.from(headerText(tensors, metadata));
  if (text.length > reservedBytes) {
    throw internal(`the header has ${text.length} bytes, ${reservedBytes} were reserved`);
  }
  const encoded = new Uint8Array(LENGTH_BYTES + reservedBytes).fill(SPACE);
  new DataView(encoded.buffer).setBigUint64(0, BigInt(reservedBytes), true);
  encoded.set(text, LENGTH_BYTES);
  return encoded;
}

export interface TensorBytes {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The dense values, little-endian, row-major. */
  readonly bytes: Uint8Array;
}

/** A whole file in memory, as the reference writer would order it: wide dtypes first, then by name. */
export function writeSafetensors(
  tensors: readonly TensorBytes[],
  metadata: Metadata = {},
): Uint8Array {
  const ordered = [...tensors].sort(
    (a, b) => DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype] || (a.name < b.name ? -1 : 1),
  );
  const placed: PlacedTensor[] = [];
  let end = 0;
  for (const { name, dtype, shape, bytes } of ordered) {
    const expected = denseBytes(dtype, shape);
    if (bytes.length !== expected) {
      throw internal(`tensor "${printable(name)}" has ${bytes.length} bytes, not ${expected}`);
    }
    placed.push({ name, dtype, shape, begin: end, end: end + bytes.length });
    end += bytes.length;
  }
  const textBytes = Buffer.byteLength(headerText(placed, metadata));
  const reserved = Math.ceil(textBytes / HEADER_ALIGN) * HEADER_ALIGN;
  const header = encodeHeader(placed, metadata, reserved);
  const file = new Uint8Array(header.length + end);
  file.set(header);
  for (const [i, { bytes }] of ordered.entries()) file.set(bytes, header.length + placed[i]!.begin);
  return file;
}

/** `__metadata__` first, with the "format" that loaders look for, then the tensors as given. */
function headerText(tensors: readonly PlacedTensor[], metadata: Metadata): string {
  const members = [`"${METADATA_KEY}":${JSON.stringify({ format: "pt", ...metadata })}`];
  for (const { name, dtype, shape, begin, end } of tensors) {
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
    );
  }
  return `{${members.join(",")}}`;
}

function internal(message: string): SpInferError {
  return new SpInferError("E_INTERNAL", message);
}
