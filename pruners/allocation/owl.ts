/**
 * OWL, outlier-weighed layerwise sparsity: blocks with more outliers keep more weights.
 * Yin et al. 2024, arXiv:2310.05175, section 4: a block's outlier share D is the part of its Wanda
 * scores above M times their mean; densities follow D linearly, within λ of the mean density.
 *
 *     density_b = (1 − S) + r_b − mean(r),   r_b = 2λ · (D_b − min D) / (max D − min D)
 *
 * All matrices of a block share its density. Unlike the reference code, which lets densities leave
 * 0..1 and repairs them, λ shrinks where S is closer than that to 0 or 1; and where all blocks have
 * equal shares they get equal densities. N:M rounds a block's density to whole N of M.
 */
import { SpInferError } from "../../src/core/errors.ts";
import type { Amount, Survey, SurveyState, WeightMatrix } from "../definePruner.ts";
import { statistic } from "../statistics.ts";
import { wandaScores } from "../wandaScore.ts";

export interface OwlSettings {
  readonly amount: Amount;
  /** M: an outlier's score in means. */
  readonly ratio: number;
  /** λ. */
  readonly range: number;
}

/** What one matrix gets. */
export interface Share {
  readonly sparsity: number;
  /** N of an N:M pattern. */
  readonly keep?: number;
}

interface BlockCounts {
  sum: number;
  weights: number;
  outliers: number;
}

interface State extends SurveyState {
  readonly round: "means" | "outliers";
  /** By matrix name: the block that it belongs to. */
  readonly blocks: Map<string, string>;
  readonly counts: Map<string, BlockCounts>;
}

export function owlSurvey(settings: OwlSettings): Survey {
  return {
    start(items) {
      const blocks = new Map(items.map(({ name }) => [name, blockOf(name)]));
      const counts = new Map<string, BlockCounts>();
      for (const block of blocks.values()) counts.set(block, { sum: 0, weights: 0, outliers: 0 });
      return { round: "means", blocks, counts } satisfies State;
    },
    gather(weight, state, { stats }) {
      const norms = statistic(weight, stats, "inputNorms");
      const { round, blocks, counts } = state as State;
      if (round === "means") return Float64Array.of(sumOfScores(weight, norms), weight.bits.length);
      const { sum, weights } = counts.get(blocks.get(weight.name)!)!;
      return Float64Array.of(countAbove(weight, norms, settings.ratio * (sum / weights)));
    },
    add(state, name, found) {
      const { round, blocks, counts } = state as State;
      const block = counts.get(blocks.get(name)!)!;
      if (round === "outliers") block.outliers += found[0]!;
      else {
        block.sum += found[0]!;
        block.weights += found[1]!;
      }
    },
    next(state) {
      const current = state as State;
      if (current.round === "means") return { round: { ...current, round: "outliers" } };
      return { decisions: decide(current, settings) };
    },
  };
}

/** The first number in a name tells its block; a matrix without one is a block of its own. */
export function blockOf(name: string): string {
  return /^.*?\.\d+(?=\.)/.exec(`.${name}`)?.[0] ?? name;
}

function sumOfScores(weight: WeightMatrix, norms: Float64Array): number {
  let total = 0;
  eachScore(weight, norms, (score) => {
    if (score < Number.POSITIVE_INFINITY) total += score;
  });
  return total;
}

function countAbove(weight: WeightMatrix, norms: Float64Array, bound: number): number {
  let count = 0;
  eachScore(weight, norms, (score) => {
    if (score > bound) count++;
  });
  return count;
}

function eachScore(weight: WeightMatrix, norms: Float64Array, look: (score: number) => void): void {
  const scores = new Float64Array(weight.cols);
  const rowScores = wandaScores(weight, norms);
  for (let row = 0; row < weight.rows; row++) {
    rowScores(row, scores);
    for (const score of scores) look(score);
  }
}

/** λ, as far as the sparsity leaves it room. */
function rangeOf({ amount: { sparsity, pattern }, range }: OwlSettings): number {
  const share = pattern.kind === "n:m" ? 1 - pattern.n / pattern.m : sparsity;
  return Math.min(range, share / 2, (1 - share) / 2);
}

/** The amount of a block that keeps as much as any can: the whole of 2λ more than the mean. */
export function owlBounds(settings: OwlSettings): Amount {
  const { amount } = settings;
  const { keep, sparsity } = shareOf(amount, 2 * rangeOf(settings));
  const { pattern } = amount;
  if (pattern.kind === "n:m") return { ...amount, pattern: { ...pattern, n: keep! } };
  return { ...amount, sparsity };
}

/** What a block gets whose density is so much above the mean. */
function shareOf({ sparsity, pattern }: Amount, more: number): Share {
  if (pattern.kind !== "n:m") return { sparsity: Math.min(1, Math.max(0, sparsity - more)) };
  const { n, m } = pattern;
  const keep = Math.min(m, Math.max(0, Math.round(n + more * m)));
  return { sparsity: 1 - keep / m, keep };
}

function decide({ blocks, counts }: State, settings: OwlSettings): Map<string, Share> {
  const shares = new Map(
    [...counts].map(([block, { outliers, weights }]) => [block, (100 * outliers) / weights]),
  );
  const values = [...shares.values()];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const width = 2 * rangeOf(settings);
  const risen = (share: number): number =>
    most > least ? ((share - least) / (most - least)) * width : 0;
  const mean = values.reduce((sum, share) => sum + risen(share), 0) / values.length;
  const decisions = new Map<string, Share>();
  for (const [name, block] of blocks) {
    const share = shares.get(block);
    if (share === undefined) throw new SpInferError("E_INTERNAL", `${name}: no block`);
    const { amount } = settings;
    decisions.set(name, shareOf(amount, risen(share) - mean));
  }
  return decisions;
}
