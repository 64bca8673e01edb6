/** Sizes of packed weights, as the format that packs them states them. */

import type { WeightPacker } from "../../../formats/defineFormat.ts";
import { formats } from "../../../formats/index.ts";
import { SpInferError } from "../../core/errors.ts";

/** A packed weight costs a second line in the file's header; it must save more than that. */
export const HEADER_LINE_BYTES = 128;

/** The packer of the only sparse format so far. */
export function weightPacker(): WeightPacker {
  const { packer } = formats.get("tile-bitmap");
  if (packer === undefined) throw new SpInferError("E_INTERNAL", "tile-bitmap has no packer");
  return packer;
}

/** Bytes of a packed matrix with that many nonzeros. */
export function packedBytes(
  rows: number,
  cols: number,
  nonzeros: number,
): { most: number; expected: number } {
  return weightPacker().size(rows, cols, nonzeros);
}
