/**
 * Random pruning: the floor of every comparison, and a source of masks for kernels.
 * Each weight's key is a hash of seed, tensor name and index, so that the mask of a tensor does not
 * depend on the others, on threads or on order.
 */
import { z } from "zod";
import { definePruner, type Pruner } from "./definePruner.ts";
import { dropCount, keptByPattern } from "./pattern.ts";
import { lowestThreshold, type WeightBits } from "./select.ts";

export const random: Pruner = definePruner({
  name: "random",
  summary: "drops weights at random, seeded; for baselines and kernel measurements",
  needs: [],
  options: {
    scope: z.enum(["matrix", "row"]).default("matrix"),
    seed: z.int().min(0).max(0xffff_ffff).default(0),
  },

  configure({ sparsity, pattern }, { scope, seed }) {
    const perGroup = (size: number): number =>
      pattern.kind === "n:m" ? size - Math.min(pattern.n, size) : dropCount(size, sparsity);
    const groupSize = (rows: number, cols: number): number => {
      if (pattern.kind === "n:m") return pattern.m;
      return scope === "row" ? cols : rows * cols;
    };
    return {
      expectNonzeros(rows, cols) {
        const kept =
          pattern.kind === "n:m"
            ? rows * keptByPattern(cols, pattern.n, pattern.m)
            : ((rows * cols) / groupSize(rows, cols)) *
              (groupSize(rows, cols) - perGroup(groupSize(rows, cols)));
        return { most: kept, expected: kept };
      },
      prune({ name, rows, cols, bits }) {
        const keyOf = hashOf(seed, name);
        const size = groupSize(rows, cols);
        // groups never cross a row, except when the whole matrix is one
        const span = size === rows * cols ? size : cols;
        for (let begin = 0; begin < bits.length; begin += span) {
          for (let at = begin; at < begin + span; at += size) {
            const count = Math.min(size, begin + span - at);
            dropRandom(bits, at, count, perGroup(count), keyOf);
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

/** A 32-bit hash of each index: FNV-1a over seed and name, then Murmur3's finaliser. */
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
    return (x ^ (x >>> 16)) >>> 0;
  };
}
