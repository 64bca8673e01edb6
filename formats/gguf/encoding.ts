/** What the reader leaves for the decoder about a tensor: plain data, checked when it comes back. */
import type { Encoding } from "../../src/core/archive.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { isCount } from "../../src/core/guards.ts";
import { isTensorType, type TensorType } from "./types.ts";

export interface GgufEncoding extends Encoding {
  readonly format: "gguf";
  readonly type: TensorType;
  /**
   * The rows are those of this many heads, in the order of llama.cpp's rotary embedding: the two
   * halves of a head interleaved. Decoding puts them back, one half after the other.
   */
  readonly permuteHeads?: number;
  /** The file holds 1 + weight (norms of Gemma); decoding takes the 1 away, in binary32. */
  readonly subtractOne?: true;
}

/** Throws E_INTERNAL when `encoding` was not made by this format. */
export function ggufEncoding(encoding: Encoding): GgufEncoding {
  const { format, type, permuteHeads, subtractOne } = encoding as Partial<GgufEncoding>;
  const known =
    format === "gguf" &&
    isTensorType(type) &&
    (permuteHeads === undefined || (isCount(permuteHeads) && permuteHeads > 0)) &&
    (subtractOne === undefined || subtractOne === true);
  if (known) return encoding as GgufEncoding;
  throw new SpInferError("E_INTERNAL", `not a GGUF encoding: ${JSON.stringify(encoding)}`);
}
