/**
 * The contract of a format: a value in the list of ./index.ts. A format knows the bytes of its
 * files and nothing of other formats, pruners or paths; it sees files through `ModelFiles`.
 */
import type { Archive, Encoding, TensorEntry } from "../src/core/archive.ts";
import type { ModelFiles } from "../src/core/byteSource.ts";
import type { Dtype, HalfDtype, WeightDtype } from "../src/core/dtype.ts";
import type { Limits } from "../src/core/limits.ts";

export interface OpenOptions {
  readonly limits: Limits;
  /** dtype to give values of a quantised source. Formats with 16-bit or plain values ignore it. */
  readonly dtype?: WeightDtype | undefined;
  /** Accept tensors of unknown dtype; they can only be copied (`--keep-unknown`). */
  readonly keepUnknown?: boolean | undefined;
}

/** What can be asked of a format without trying. */
export interface Capabilities {
  readonly read: boolean;
  readonly write: boolean;
  /** Dtypes its dense values can have. */
  readonly dtypes: readonly Dtype[];
  /** Whether zeros take no space. */
  readonly sparse: boolean;
  /** Whether what is read back is bit for bit what was written. */
  readonly lossless: boolean;
}

/** Values of one tensor, decoded. */
export interface Decoded {
  /** Dense values, row-major, little-endian, in the entry's dtype and shape. */
  readonly bytes: Uint8Array;
  /** Values that became infinite, or zero, when cast to the entry's dtype. */
  readonly overflowed?: number;
  readonly underflowed?: number;
}

/** A 16-bit weight matrix, outputs × inputs, row-major. */
export interface HalfMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfDtype;
  readonly bits: Uint16Array;
}

/** One tensor of a packed weight as it is stored. */
export interface PackedTensor {
  /** Added to the weight's name; "" for the one that keeps it. */
  readonly suffix: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface PackedWeight {
  readonly tensors: readonly PackedTensor[];
  readonly nonzeros: number;
  /** Most stored values in one chunk: what a kernel's stage must hold. */
  readonly maxChunkNonzeros: number;
}

/** How a format stores a weight matrix without its zeros. */
export interface WeightPacker {
  /** Names and ranks of the tensors that one weight becomes, for planning a header. */
  readonly tensors: readonly { readonly suffix: string; readonly dtype: Dtype }[];
  /** Bytes of each of them with so many nonzeros: at most, and as expected. */
  size(
    rows: number,
    cols: number,
    nonzeros: number,
  ): { readonly most: number; readonly expected: number };
  /**
   * `transposed`: the dense tensor is [cols, rows]. With `inPlace` the payload takes the memory of
   * the matrix where it can, and the matrix is lost.
   */
  pack(matrix: HalfMatrix, transposed: boolean, inPlace?: boolean): PackedWeight;
  /** What config.json says of a checkpoint with such weights, under `quantization_config`. */
  describe(facts: CheckpointFacts): Readonly<Record<string, unknown>>;
}

export interface CheckpointFacts {
  readonly dtype: HalfDtype;
  readonly sparsity: number;
  readonly keptModules: readonly string[];
  readonly version: string;
}

export interface Format {
  readonly name: string;
  readonly summary: string;
  readonly capabilities: Capabilities;
  /** Whether these files are of this format. Looks at names and first bytes only. */
  sniff(files: ModelFiles): Promise<boolean>;
  /** Reads and checks everything but the tensor data itself. */
  open(files: ModelFiles, options: OpenOptions): Promise<Archive>;
  /** How it stores weights without their zeros, where it does. */
  readonly packer?: WeightPacker;
  /** Checks the stored bytes of such a tensor as `decode` does, without decoding. */
  check?(entry: TensorEntry & { readonly encoding: Encoding }, stored: readonly Uint8Array[]): void;
  /**
   * The dense values of a tensor whose `encoding` this format made. `stored` holds the bytes of
   * each of the entry's extents, in order; they are validated here, before use.
   */
  decode?(
    entry: TensorEntry & { readonly encoding: Encoding },
    stored: readonly Uint8Array[],
  ): Decoded;
}

/** Identity; checks the type and freezes. */
export function defineFormat(format: Format): Format {
  return Object.freeze(format);
}
