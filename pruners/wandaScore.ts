/** Wanda's score |w| · ‖x_j‖₂, in float64. */
import type { WeightMatrix } from "./definePruner.ts";
import type { RowScores } from "./scores.ts";
import { magnitudeReader } from "./weightValues.ts";

/** Infinity for weights that are not finite, whatever their inputs. */
export function wandaScores(weight: WeightMatrix, norms: Float64Array): RowScores {
  const { cols } = weight;
  const read = magnitudeReader(weight);
  return (row, scores) => {
    read(row * cols, scores, cols);
    for (let j = 0; j < cols; j++) {
      const score = scores[j]! * norms[j]!;
      scores[j] = Number.isNaN(score) ? Number.POSITIVE_INFINITY : score; // infinity × 0
    }
  };
}

/** |w| alone. */
export function magnitudeScores(weight: WeightMatrix): RowScores {
  const read = magnitudeReader(weight);
  return (row, scores) => read(row * weight.cols, scores, weight.cols);
}
