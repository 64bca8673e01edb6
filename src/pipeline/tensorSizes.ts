/** Sizes of a checkpoint's tensors, from its manifest. */
import { denseBytes, isDtype } from "../core/dtype.ts";
import type { Manifest, ManifestTensor } from "./manifest.ts";

/** What the tensor would take dense, in its dtype. */
export function denseSize({ dtype, shape, bytes }: ManifestTensor): number {
  return isDtype(dtype) ? (denseBytes(dtype, shape) ?? bytes) : bytes;
}

export function denseSizeOf({ tensors }: Manifest): number {
  return Object.values(tensors).reduce((sum, tensor) => sum + denseSize(tensor), 0);
}
