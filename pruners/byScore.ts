/** What pruners that only score and drop have in common: how many go, and from what. */
import type { Amount, ConfiguredPruner, PruneContext, WeightMatrix } from "./definePruner.ts";
import { plainDense } from "./denseKernels.ts";
import { dropCount, exactly, keptByPattern } from "./pattern.ts";
import { dropLowest, keepNOfM, type RowScores } from "./scores.ts";

export type ScoreScope = "matrix" | "row";

/** `scoresOf` is called once for each matrix. */
export function byScore(
  { sparsity, pattern }: Amount,
  scope: ScoreScope,
  scoresOf: (weight: WeightMatrix, context: PruneContext) => RowScores,
): Pick<ConfiguredPruner, "expectNonzeros" | "prune"> {
  if (pattern.kind === "n:m") {
    const { n, m } = pattern;
    return {
      expectNonzeros: (rows, cols) => exactly(rows * keptByPattern(cols, n, m)),
      prune: (weight, context) =>
        keepNOfM(weight.bits, weight.rows, weight.cols, pattern, scoresOf(weight, context)),
    };
  }
  if (scope === "row") {
    return {
      expectNonzeros: (rows, cols) => exactly(rows * (cols - dropCount(cols, sparsity))),
      prune(weight, context) {
        const { bits, rows, cols } = weight;
        const { markLowest } = context.dense ?? plainDense;
        const drop = dropCount(cols, sparsity);
        if (drop === 0) return;
        markLowest({ rows, cols }, drop, scoresOf(weight, context), (row, marks) => {
          const at = row * cols;
          for (let j = 0; j < cols; j++) bits[at + j]! &= marks[j]! - 1;
        });
      },
    };
  }
  return {
    expectNonzeros: (rows, cols) => exactly(rows * cols - dropCount(rows * cols, sparsity)),
    prune(weight, context) {
      const { bits, rows, cols } = weight;
      dropLowest(bits, rows, cols, dropCount(rows * cols, sparsity), scoresOf(weight, context));
    },
  };
}
