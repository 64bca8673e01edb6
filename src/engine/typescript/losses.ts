/** The loss of a token from the logits before it. */

/** −ln p(target); NaN without a target. */
export function lossOf(logits: Float32Array, target: number): number {
  if (target < 0) return Number.NaN;
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit);
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - largest);
  return largest + Math.log(total) - logits[target]!;
}
