/**
 * DSnoT, dynamic sparse no training: swaps dropped for kept weights of a Wanda mask so that each
 * output keeps its mean. Zhang et al. 2024, arXiv:2310.08915, section 3.2, with the defaults of the
 * authors' code.
 *
 * With m_j = w_j · E[x_j] (E: per sample) the error of an output is ε = Σ m_j of what is dropped.
 * While |ε| > threshold, and for at most so many cycles, the dropped weight with the greatest
 * |m_j| / Var[x_j]^power on ε's side comes back, and the kept weight of least Wanda score whose m_j
 * is on the other side goes. A weight is swapped once. With N:M the weight that goes is the one of
 * least Wanda score in the same group, and an output is done where the swap would turn ε's sign.
 *
 * Var is that of all tokens; the authors' code averages the variances within each sample.
 */
import { z } from "../src/core/zod.ts";
import { allocated, allocationOptions } from "./allocation/allocated.ts";
import { byScore } from "./byScore.ts";
import type { Amount, PruneContext, PrunerWork, WeightMatrix } from "./definePruner.ts";
import { definePruner, type Pruner } from "./definePruner.ts";
import { sampleCounts, statistic } from "./statistics.ts";
import { wandaScores } from "./wandaScore.ts";
import { finiteValues } from "./weightValues.ts";

interface Options {
  readonly cycles: number;
  readonly update_threshold: number;
  readonly variance_power: number;
}

export const dsnot: Pruner = definePruner({
  name: "dsnot",
  summary: "refines a Wanda mask by swaps that keep each output's mean",
  needs: ["inputNorms", "inputSums"],
  options: {
    cycles: z.int().min(0).max(10_000).default(50),
    update_threshold: z.number().min(0).default(0.1),
    variance_power: z.number().min(0).max(4).default(1),
    ...allocationOptions,
  },

  configure: (amount, options) => allocated(amount, options, (share) => refined(share, options)),
});

function refined(amount: Amount, options: Options): PrunerWork {
  const scoresOf = (weight: WeightMatrix, { stats }: PruneContext) =>
    wandaScores(weight, statistic(weight, stats, "inputNorms"));
  const initial = byScore(amount, "row", scoresOf);
  return {
    expectNonzeros: initial.expectNonzeros,
    prune(weight, context) {
      const inputs = inputMoments(weight, context, options.variance_power);
      const dense = { ...weight, bits: weight.bits.slice() };
      initial.prune(weight, context);
      const rowScores = scoresOf(dense, context);
      const scores = new Float64Array(weight.cols);
      for (let row = 0; row < weight.rows; row++) {
        rowScores(row, scores);
        new RowRefinement(weight, dense, row, scores, inputs, amount, options).run();
      }
    },
  };
}

interface Moments {
  /** Σ x_j of a sample, on average. */
  readonly means: Float64Array;
  /** Var[x_j] over tokens, to the power that is asked for. */
  readonly spreads: Float64Array;
}

function inputMoments(weight: WeightMatrix, { stats }: PruneContext, power: number): Moments {
  const norms = statistic(weight, stats, "inputNorms");
  const sums = statistic(weight, stats, "inputSums");
  const { tokens, samples } = sampleCounts(weight, stats);
  return {
    means: sums.map((sum) => sum / samples),
    spreads: norms.map(
      (norm, j) => Math.max(0, (norm * norm) / tokens - (sums[j]! / tokens) ** 2) ** power,
    ),
  };
}

/** The best few of many: least key first, among equals the one offered first. */
class BestFew {
  private readonly keys: number[] = [];
  private readonly indices: number[] = [];
  private taken = 0;
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  offer(key: number, index: number): void {
    const { keys, indices, most } = this;
    if (keys.length === most && (most === 0 || !(key < keys[most - 1]!))) return;
    let at = keys.length === most ? most - 1 : keys.length;
    for (; at > 0 && keys[at - 1]! > key; at--) {
      keys[at] = keys[at - 1]!;
      indices[at] = indices[at - 1]!;
    }
    keys[at] = key;
    indices[at] = index;
  }

  take(): number | undefined {
    return this.indices[this.taken++];
  }
}

class RowRefinement {
  private readonly kept: WeightMatrix["bits"];
  private readonly dense: WeightMatrix["bits"];
  private readonly scores: Float64Array;
  private readonly inputs: Moments;
  private readonly amount: Amount;
  private readonly options: Options;
  /** m_j; 0 for weights that are not finite, which are never swapped. */
  private readonly shares: Float64Array;
  private readonly dropped: Uint8Array;

  constructor(
    { bits, cols }: WeightMatrix,
    { bits: before, dtype }: WeightMatrix,
    row: number,
    scores: Float64Array,
    inputs: Moments,
    amount: Amount,
    options: Options,
  ) {
    this.kept = bits.subarray(row * cols, (row + 1) * cols);
    this.dense = before.subarray(row * cols, (row + 1) * cols);
    this.scores = scores;
    this.inputs = inputs;
    this.amount = amount;
    this.options = options;
    this.shares = finiteValues({ bits: this.dense, dtype });
    this.dropped = new Uint8Array(cols);
    for (let j = 0; j < cols; j++) {
      this.shares[j]! *= inputs.means[j]!;
      this.dropped[j] = this.kept[j] === 0 && this.dense[j] !== 0 ? 1 : 0;
    }
  }

  run(): void {
    const { shares, dropped, options } = this;
    let error = 0;
    for (let j = 0; j < shares.length; j++) if (dropped[j] === 1) error += shares[j]!;
    if (!(Math.abs(error) > options.update_threshold)) return;
    const [rising, falling] = [this.regrowable(1), this.regrowable(-1)];
    const { pattern } = this.amount;
    const sign = Math.sign(error);
    const takeKept =
      pattern.kind === "n:m"
        ? (regrown: number) => this.leastOfGroup(regrown, pattern.m)
        : this.leastByShare();
    for (let cycle = 0; cycle < options.cycles; cycle++) {
      if (!(Math.abs(error) > options.update_threshold)) return;
      const back = (error > 0 ? rising : falling).take();
      if (back === undefined) return;
      const gone = takeKept(back, error);
      if (gone === undefined) return;
      const after = error + shares[gone]! - shares[back]!;
      if (pattern.kind === "n:m" && Math.sign(after) !== sign) return;
      error = after;
      this.swap(back, gone);
    }
  }

  private swap(back: number, gone: number): void {
    this.kept[back] = this.dense[back]!;
    this.kept[gone] = 0;
    this.dropped[gone] = 2; // not to be swapped again
    this.dropped[back] = 3;
  }

  /** Dropped weights whose share has this sign, by |share| / variance. */
  private regrowable(sign: 1 | -1): BestFew {
    const { shares, dropped, options, inputs } = this;
    const best = new BestFew(options.cycles);
    const offer = (j: number): void => {
      const share = sign * shares[j]!;
      if (dropped[j] !== 1 || !(share > 0)) return;
      best.offer(-share / inputs.spreads[j]!, j);
    };
    // a stable ascending order, taken from its end or from its beginning
    if (sign > 0) for (let j = shares.length - 1; j >= 0; j--) offer(j);
    else for (let j = 0; j < shares.length; j++) offer(j);
    return best;
  }

  /** Kept weights of least score, of the sign that lessens the error. */
  private leastByShare(): (back: number, error: number) => number | undefined {
    const { shares, kept, scores, options } = this;
    const [rising, falling] = [new BestFew(options.cycles), new BestFew(options.cycles)];
    for (let j = 0; j < shares.length; j++) {
      if (kept[j] === 0) continue;
      if (shares[j]! > 0) rising.offer(scores[j]!, j);
      else if (shares[j]! < 0) falling.offer(scores[j]!, j);
    }
    return (_, error) => (error > 0 ? falling : rising).take();
  }

  private leastOfGroup(regrown: number, m: number): number | undefined {
    const { scores, kept, dropped } = this;
    const begin = regrown - (regrown % m);
    let least: number | undefined;
    for (let j = begin; j < Math.min(begin + m, scores.length); j++) {
      if (kept[j] === 0 || dropped[j] !== 0 || scores[j] === Number.POSITIVE_INFINITY) continue;
      if (least === undefined || scores[j]! < scores[least]!) least = j;
    }
    return least;
  }
}
