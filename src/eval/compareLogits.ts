/** Two models' logits for the same tokens: losses, divergence, agreement; all in float64. */

export interface Compared {
  /** −ln p(target) of each model. */
  readonly loss: number;
  readonly baseLoss: number;
  /** KL(base ‖ model) = Σ p_base (ln p_base − ln p_model), in nats; never below 0. */
  readonly divergence: number;
  /** Whether both find the same token most likely; the lowest id among equals. */
  readonly agrees: boolean;
}

/** One row of `vocabulary` logits each. Anything NaN or infinite makes a figure that is not finite. */
export function compareRow(model: Float32Array, base: Float32Array, target: number): Compared {
  const best = indexOfLargest(model);
  const baseBest = indexOfLargest(base);
  const [largest, baseLargest] = [model[best]!, base[baseBest]!];
  let total = 0;
  let baseTotal = 0;
  let weighted = 0;
  for (let i = 0; i < model.length; i++) {
    const weight = Math.exp(base[i]! - baseLargest);
    total += Math.exp(model[i]! - largest);
    baseTotal += weight;
    weighted += weight * (base[i]! - model[i]!);
  }
  const normaliser = largest + Math.log(total);
  const baseNormaliser = baseLargest + Math.log(baseTotal);
  const divergence = weighted / baseTotal - baseNormaliser + normaliser;
  return {
    loss: normaliser - model[target]!,
    baseLoss: baseNormaliser - base[target]!,
    divergence: Math.max(0, divergence), // below 0 by rounding alone
    agrees: best === baseBest,
  };
}

function indexOfLargest(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
}
