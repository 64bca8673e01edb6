/**
 * The hash of a tensor as it is stored: SHA-256 over each of its stored parts, with the part's
 * name, dtype and shape, so that two tensors cannot be exchanged for one another.
 */
import { createHash, type Hash } from "node:crypto";

export interface HashedPart {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

export function startTensorHash(): Hash {
  return createHash("sha256");
}

/** Call before the bytes of each part. */
export function beginPart(hash: Hash, { name, dtype, shape }: HashedPart): void {
  hash.update(`${name}\0${dtype}\0${shape.join(",")}\0`);
}
