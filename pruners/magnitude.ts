/**
 * Magnitude pruning: drop the weights with the smallest |w|.
 * Han et al. 2015, arXiv:1506.02626; per output row as comparison group as in Sun et al. 2023,
 * arXiv:2306.11695, section 3. N:M after Mishra et al. 2021, arXiv:2104.08378.
 *
 * The count is exact and equal magnitudes go lowest index first, unlike reference code that drops
 * everything up to a threshold value and so a few weights too many.
 */

import { SpInferError } from "../src/core/errors.ts";
import { z } from "../src/core/zod.ts";
import { definePruner, type Pruner } from "./definePruner.ts";
import { modelSurvey } from "./modelSurvey.ts";
import { dropCount, exactly, keptByPattern } from "./pattern.ts";
import type { Threshold } from "./select.ts";

export const SCOPES = ["matrix", "row", "model"] as const;

export const magnitude: Pruner = definePruner({
  name: "magnitude",
  summary: "drops the weights of smallest magnitude, of each matrix, each row, or the whole model",
  needs: [],
  options: { scope: z.enum(SCOPES).default("matrix") },

  configure({ sparsity, pattern }, { scope }) {
    if (pattern.kind === "n:m") {
      const { n, m } = pattern;
      return {
        expectNonzeros: (rows, cols) => exactly(rows * keptByPattern(cols, n, m)),
        prune: ({ bits, rows, cols }, { kernels }) => kernels.keepNOfM(bits, rows, cols, n, m),
      };
    }
    switch (scope) {
      case "row":
        return {
          expectNonzeros: (rows, cols) => exactly(rows * (cols - dropCount(cols, sparsity))),
          prune: ({ bits, rows, cols }, { kernels }) =>
            kernels.dropLowestPerRow(bits, rows, cols, dropCount(cols, sparsity)),
        };
      case "matrix":
        return {
          expectNonzeros: (rows, cols) => exactly(rows * cols - dropCount(rows * cols, sparsity)),
          prune: ({ bits }, { kernels }) =>
            kernels.dropLowest(bits, dropCount(bits.length, sparsity)),
        };
      case "model":
        return {
          survey: modelSurvey(sparsity),
          expectNonzeros: (rows, cols) => ({
            most: rows * cols,
            expected: rows * cols - dropCount(rows * cols, sparsity),
          }),
          prune: ({ name, bits }, { kernels, decision }) => {
            if (decision === undefined)
              throw new SpInferError("E_INTERNAL", `${name}: no decision was made`);
            kernels.dropBelow(bits, decision as Threshold);
          },
        };
    }
  },
});
