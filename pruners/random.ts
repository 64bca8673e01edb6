/**
 * Random pruning: the floor of every comparison, and a source of masks for kernels.
 * Each weight's key is a hash of seed, tensor name and index, so that the mask of a tensor does not
 * depend on the others, on threads or on order.
 */

import { INFINITY_BITS } from "../src/core/half.ts";
import { z } from "../src/core/zod.ts";
import { definePruner, type Pruner } from "./definePruner.ts";
import { dropCount, exactly, keptByPattern } from "./pattern.ts";
import { keyMask, lowestThreshold, type WeightBits } from "./select.ts";

/** Above every hash: NaN and infinity are the last to go, as everywhere. */
const NEVER_BEFORE_FINITE = 2 ** 31;

export const random: Pruner = definePruner({
  name: "random",
  summary: "drops weights at random, seeded; for baselines and kernel measurements",
  needs: [],
  options: {
    scope: z.enum(["matrix", "row"]).default("matrix"),
    seed: z.int().min(0).max(0xffff_ffff).default(0),
  },

  configure({ sparsity, pattern }, { scope, seed }) {
    const byPattern = pattern.kind === "n:m";
    const dropOf = (size: number): number =>
      byPattern ? size - Math.min(pattern.n, size) : dropCount(size, sparsity);
    return {
      expectNonzeros(rows, cols) {
        if (byPattern) return exactly(rows * keptByPattern(cols, pattern.n, pattern.m));
        if (scope === "row") return exactly(rows * (cols - dropOf(cols)));
        return exactly(rows * cols - dropOf(rows * cols));
      },
      prune({ name, rows, cols, dtype, bits }) {
        const hash = hashOf(seed, name);
        const [mask, infinity] = [keyMask(bits), INFINITY_BITS[dtype]];
        const keyOf = (index: number): number =>
          (bits[index]! & mask) >= infinity ? NEVER_BEFORE_FINITE : hash(index);
        const row = byPattern || scope === "row" ? cols : rows * cols;
        const group = byPattern ? pattern.m : row;
        for (let begin = 0; begin < bits.length; begin += row) {
          for (let at = begin; at < begin + row; at += group) {
            const size = Math.min(group, begin + row - at);
            dropRandom(bits, at, size, dropOf(size), keyOf);
          }
        }
      },
    };
  },
});

function dropRandom(
  bits: WeightBits,
  begin: number,
  count: number,
  drop: number,
  keyOf: (index: number) => number,
): void {
  if (drop === 0) return;
  const { key: threshold, ties } = lowestThreshold(count, (i) => keyOf(begin + i), drop);
  let left = ties;
  for (let i = begin; i < begin + count; i++) {
    const key = keyOf(i);
    if (key > threshold || (key === threshold && left-- <= 0)) continue;
    bits[i] = 0;
  }
}

/** A 31-bit hash of each index: FNV-1a over seed and name, then Murmur3's finaliser. */
function hashOf(seed: number, name: string): (index: number) => number {
  let state = (0x811c_9dc5 ^ seed) >>> 0;
  for (const byte of new TextEncoder().encode(name))
    state = Math.imul(state ^ byte, 0x0100_0193) >>> 0;
  return (index) => {
    let x =
      (state +
        Math.imul(index, 0x9e37_79b1) +
        Math.imul(Math.floor(index / 2 ** 32), 0x85eb_ca77)) |
      0;
    x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
    return (x ^ (x >>> 16)) >>> 1;
  };
}
