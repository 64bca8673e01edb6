/**
 * The contract of a format: a value in the list of ./index.ts. A format knows the bytes of its
 * files and nothing of other formats, pruners or paths; it sees files through `ModelFiles`.
 */
import type { Archive, Encoding, TensorEntry } from "../src/core/archive.ts";
import type { ModelFiles } from "../src/core/byteSource.ts";
import type { Dtype, WeightDtype } from "../src/core/dtype.ts";
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

export interface Format {
  readonly name: string;
  readonly summary: string;
  readonly capabilities: Capabilities;
  /** Whether these files are of this format. Looks at names and first bytes only. */
  sniff(files: ModelFiles): Promise<boolean>;
  /** Reads and checks everything but the tensor data itself. */
  open(files: ModelFiles, options: OpenOptions): Promise<Archive>;
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
