/**
 * Tile-balanced pruning, SpInfer's own: every chunk of 32 outputs × 64 inputs, the piece of a
 * matrix that a thread block of the kernels decodes at once, keeps the same number of weights. A
 * kernel waits for its fullest chunk, so equal chunks are even work and equal memory traffic. The
 * weights of smallest score go, Wanda's or the magnitude.
 */
import { z } from "../src/core/zod.ts";
import { allocated, allocationOptions } from "./allocation/allocated.ts";
import { byScore } from "./byScore.ts";
import type { Amount, PrunerWork, WeightMatrix } from "./definePruner.ts";
import { definePruner, type Pruner } from "./definePruner.ts";
import { dropCount, exactly } from "./pattern.ts";
import { dropBelow, type RowScores, ThresholdFinder } from "./scores.ts";
import { statistic } from "./statistics.ts";
import { magnitudeScores, wandaScores } from "./wandaScore.ts";

const CHUNK_ROWS = 32;
const CHUNK_COLS = 64;

export const tileBalanced: Pruner = definePruner({
  name: "tile-balanced",
  summary: "drops equally many weights of every 32 × 64 chunk, so that kernels see even work",
  needs: ["inputNorms"],
  options: { score: z.enum(["wanda", "magnitude"]).default("wanda"), ...allocationOptions },

  configure: (amount, options) => {
    const work = allocated(amount, options, (share) => inChunks(share, options.score));
    if (options.score === "wanda" || options.allocation === "owl") return work;
    return { ...work, needs: [] };
  },
});

function inChunks(amount: Amount, score: "wanda" | "magnitude"): PrunerWork {
  const scoresOf = (
    weight: WeightMatrix,
    { stats }: Parameters<PrunerWork["prune"]>[1],
  ): RowScores =>
    score === "magnitude"
      ? magnitudeScores(weight)
      : wandaScores(weight, statistic(weight, stats, "inputNorms"));
  // groups of N:M are even work already
  if (amount.pattern.kind === "n:m") return byScore(amount, "row", scoresOf);
  const { sparsity } = amount;
  return {
    expectNonzeros(rows, cols) {
      let kept = 0;
      for (const height of cuts(rows, CHUNK_ROWS)) {
        for (const width of cuts(cols, CHUNK_COLS)) {
          const size = height.size * width.size;
          kept += height.times * width.times * (size - dropCount(size, sparsity));
        }
      }
      return exactly(kept);
    },
    prune: (weight, context) => dropInChunks(weight, sparsity, scoresOf(weight, context)),
  };
}

/** Whole pieces of a length, and the shorter one at its end. */
function cuts(length: number, piece: number): { size: number; times: number }[] {
  return [
    { size: piece, times: Math.floor(length / piece) },
    { size: length % piece, times: 1 },
  ];
}

function dropInChunks({ bits, rows, cols }: WeightMatrix, sparsity: number, rowScores: RowScores) {
  const strip = Array.from({ length: CHUNK_ROWS }, () => new Float64Array(cols));
  const scores = new Float64Array(CHUNK_ROWS * CHUNK_COLS);
  const finder = new ThresholdFinder(scores);
  for (let top = 0; top < rows; top += CHUNK_ROWS) {
    const height = Math.min(CHUNK_ROWS, rows - top);
    for (let i = 0; i < height; i++) rowScores(top + i, strip[i]!);
    for (let left = 0; left < cols; left += CHUNK_COLS) {
      const width = Math.min(CHUNK_COLS, cols - left);
      const drop = dropCount(height * width, sparsity);
      if (drop === 0) continue;
      for (let i = 0; i < height; i++)
        scores.set(strip[i]!.subarray(left, left + width), i * width);
      let { score, ties } = finder.find(height * width, drop);
      for (let i = 0; i < height; i++) {
        const row = scores.subarray(i * width, (i + 1) * width);
        ties = dropBelow(bits, (top + i) * cols + left, row, width, { score, ties });
      }
    }
  }
}
