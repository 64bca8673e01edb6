/**
 * Wanda: drop the weights of smallest |w| · ‖x_j‖₂, where x_j is input j over the calibration text.
 * Sun et al. 2023, arXiv:2306.11695, equation 1; comparison group: one output (section 3).
 *
 * The norm is over all tokens; a mean over samples, as in the reference code, is the same up to a
 * factor that changes no comparison.
 */
import { z } from "../src/core/zod.ts";
import { allocated, allocationOptions } from "./allocation/allocated.ts";
import { byScore } from "./byScore.ts";
import { definePruner, type Pruner } from "./definePruner.ts";
import { statistic } from "./statistics.ts";
import { wandaScores } from "./wandaScore.ts";

export const wanda: Pruner = definePruner({
  name: "wanda",
  summary: "drops the weights whose magnitude times the norm of their input is smallest",
  needs: ["inputNorms"],
  options: { scope: z.enum(["row", "matrix"]).default("row"), ...allocationOptions },

  configure: (amount, options) =>
    allocated(amount, options, (share) =>
      byScore(share, options.scope, (weight, { stats }) =>
        wandaScores(weight, statistic(weight, stats, "inputNorms")),
      ),
    ),
});
