/**
 * RIA, relative importance and activations: a weight counts by its share of what its input gives
 * and of what its output gets, times a power of the input's norm:
 *
 *     (|w_ij| / Σ_i' |w_i'j| + |w_ij| / Σ_j' |w_ij'|) · ‖x_j‖₂^a
 *
 * Zhang et al. 2024, "Plug-and-Play: An Efficient Post-training Pruning Method for Large Language
 * Models", equations 3 and 4; a = 0.5, comparison group: the whole matrix.
 */
import { z } from "../src/core/zod.ts";
import { allocated, allocationOptions } from "./allocation/allocated.ts";
import { byScore } from "./byScore.ts";
import { definePruner, type Pruner, type WeightMatrix } from "./definePruner.ts";
import type { RowScores } from "./scores.ts";
import { statistic } from "./statistics.ts";
import { magnitudeReader } from "./weightValues.ts";

export const ria: Pruner = definePruner({
  name: "ria",
  summary: "drops the weights of least relative importance among their inputs and outputs",
  needs: ["inputNorms"],
  options: {
    scope: z.enum(["matrix", "row"]).default("matrix"),
    exponent: z.number().min(0).max(4).default(0.5),
    ...allocationOptions,
  },

  configure: (amount, options) =>
    allocated(amount, options, (share) =>
      byScore(share, options.scope, (weight, { stats }) =>
        relativeImportance(weight, statistic(weight, stats, "inputNorms"), options.exponent),
      ),
    ),
});

function relativeImportance(
  weight: WeightMatrix,
  norms: Float64Array,
  exponent: number,
): RowScores {
  const { cols } = weight;
  const read = magnitudeReader(weight);
  const { rowSums, colSums } = sumsOf(weight);
  const powers = norms.map((norm) => norm ** exponent);
  return (row, scores) => {
    read(row * cols, scores, cols);
    const rowSum = rowSums[row]!;
    for (let j = 0; j < cols; j++) {
      const size = scores[j]!;
      if (size === 0) continue; // 0 / 0 where a whole row or column is zero
      const score = (size / colSums[j]! + size / rowSum) * powers[j]!;
      scores[j] = size === Number.POSITIVE_INFINITY ? size : score;
    }
  };
}

/** Σ|w| of rows and of columns; of finite weights alone. */
function sumsOf(weight: WeightMatrix): { rowSums: Float64Array; colSums: Float64Array } {
  const { rows, cols } = weight;
  const read = magnitudeReader(weight);
  const [rowSums, colSums] = [new Float64Array(rows), new Float64Array(cols)];
  const sizes = new Float64Array(cols);
  for (let row = 0; row < rows; row++) {
    read(row * cols, sizes, cols);
    let sum = 0;
    for (let j = 0; j < cols; j++) {
      const size = sizes[j]!;
      if (size === Number.POSITIVE_INFINITY) continue;
      sum += size;
      colSums[j]! += size;
    }
    rowSums[row] = sum;
  }
  return { rowSums, colSums };
}
