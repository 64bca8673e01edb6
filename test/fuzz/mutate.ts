/** Damage that any binary format can meet. The mutators of a format change its fields first. */
import type { Random } from "../helpers/random.ts";

/** Whole numbers around which size checks break; as bigint, since some are no safe integers. */
export const EDGE_INTEGERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  8n,
  9n,
  127n,
  128n,
  255n,
  256n,
  65_535n,
  65_536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** A copy with `count` random bits flipped. */
export function flipBits(bytes: Uint8Array, count: number, random: Random): Uint8Array {
  const damaged = bytes.slice();
  if (damaged.length === 0) return damaged;
  for (let i = 0; i < count; i++) {
    const at = random.int(damaged.length);
    damaged[at] = damaged[at]! ^ (1 << random.int(8));
  }
  return damaged;
}

/** The first part of the bytes, shorter by at least one where there is one. */
export function truncate(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.subarray(0, random.int(Math.max(1, bytes.length)));
}

/** The bytes with some more behind them. */
export function extend(bytes: Uint8Array, random: Random): Uint8Array {
  return Buffer.concat([bytes, random.bytes(1 + random.int(16))]);
}

/** A copy with one little-endian integer of 1, 2, 4 or 8 bytes set to an edge value. */
export function overwriteInteger(bytes: Uint8Array, random: Random): Uint8Array {
  const size = random.pick([1, 2, 4, 8]);
  if (bytes.length < size) return bytes;
  const damaged = bytes.slice();
  const at = random.int(bytes.length - size + 1);
  let value = random.pick(EDGE_INTEGERS);
  for (let i = 0; i < size; i++) {
    damaged[at + i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return damaged;
}
