/**
 * SparseGPT: drop weights of least error w² / U_jj² and let the weights that come after make up for
 * it. Frantar and Alistarh 2023, arXiv:2301.00774, algorithm 1, with H = XᵀX of the calibration
 * inputs, damped by a share of its mean diagonal, and H⁻¹ = Uᵀ · U.
 *
 * Columns are taken in blocks; unstructured masks are chosen for a whole block at once, over all
 * rows, from weights that earlier blocks have updated; N:M masks group by group within the block.
 * A factor on H changes nothing, so a sum over tokens serves as well as the paper's mean.
 *
 * Unlike the reference code, counts are exact, and inputs that are always zero are dropped first
 * but not all of them whatever the sparsity. Everything is float64; memory: two float64 matrices of
 * cols × cols and one of rows × cols. rows·cols² + 2/3·cols³ operations.
 */
import { SpInferError } from "../src/core/errors.ts";
import { INFINITY_BITS } from "../src/core/half.ts";
import { z } from "../src/core/zod.ts";
import { allocated, allocationOptions } from "./allocation/allocated.ts";
import {
  type Amount,
  definePruner,
  type PruneContext,
  type Pruner,
  type PrunerWork,
  type WeightMatrix,
} from "./definePruner.ts";
import { plainProduct, type SubtractProduct } from "./denseProduct.ts";
import { inverseFactor } from "./inverseFactor.ts";
import { dropCount, exactly, keptByPattern } from "./pattern.ts";
import { lowestScores, rankOf } from "./scores.ts";
import { keyMask } from "./select.ts";
import { statistic } from "./statistics.ts";
import { finiteValues, keptBits } from "./weightValues.ts";

/** Tried one after another where the damping asked for leaves H singular. */
const MORE_DAMPING = [1, 10, 100];

interface Options {
  readonly block_size: number;
  readonly damping: number;
}

export const sparsegpt: Pruner = definePruner({
  name: "sparsegpt",
  summary: "drops weights of least error and updates the others to make up for them",
  needs: ["gram"],
  updates: true,
  options: {
    block_size: z.int().min(1).max(4096).default(128),
    damping: z.number().gt(0).max(1).default(0.01),
    ...allocationOptions,
  },

  configure: (amount, options) => {
    const work = allocated(amount, options, (share) => surgeon(share, options));
    return options.allocation === "owl" ? { ...work, needs: ["gram", "inputNorms"] } : work;
  },
});

function surgeon(amount: Amount, options: Options): PrunerWork {
  const { sparsity, pattern } = amount;
  return {
    expectNonzeros(rows, cols) {
      if (pattern.kind === "n:m") return exactly(rows * keptByPattern(cols, pattern.n, pattern.m));
      let kept = 0;
      for (let at = 0; at < cols; at += options.block_size) {
        const size = rows * Math.min(options.block_size, cols - at);
        kept += size - dropCount(size, sparsity);
      }
      return exactly(kept);
    },
    prune: (weight, context) => new Surgery(weight, context, amount, options).run(),
  };
}

class Surgery {
  private readonly weight: WeightMatrix;
  private readonly amount: Amount;
  private readonly size: number;
  private readonly product: SubtractProduct;
  /** Uᵀ, lower triangular. */
  private readonly factor: Float64Array;
  /** Inputs that are zero on all of the text. */
  private readonly dead: Uint8Array;
  /** The weights; of blocks that are done, what they lost, over U_jj. */
  private readonly values: Float64Array;

  constructor(weight: WeightMatrix, context: PruneContext, amount: Amount, options: Options) {
    const { cols } = weight;
    this.weight = weight;
    this.amount = amount;
    this.product = context.product ?? plainProduct;
    // groups of N:M are not cut by blocks
    const { pattern } = amount;
    const step = pattern.kind === "n:m" ? pattern.m : 1;
    this.size = Math.min(cols, Math.ceil(options.block_size / step) * step);
    const gram = statistic(weight, context.stats, "gram");
    this.dead = Uint8Array.from({ length: cols }, (_, j) => (gram[j * cols + j] === 0 ? 1 : 0));
    this.factor = factorOf(weight, gram, this.dead, options.damping, this.product);
    this.values = finiteValues(weight);
  }

  run(): void {
    const { rows, cols } = this.weight;
    const { values, factor, size } = this;
    const { sparsity, pattern } = this.amount;
    const none =
      pattern.kind === "n:m" ? pattern.n === pattern.m : dropCount(rows * cols, sparsity) === 0;
    if (none) return;
    for (let begin = 0; begin < cols; begin += size) {
      const width = Math.min(size, cols - begin);
      // what all earlier blocks lost, at once
      this.product(
        { values, begin, stride: cols },
        { values, begin: 0, stride: cols },
        { values: factor, begin: begin * cols, stride: cols },
        { rows, cols: width, depth: begin },
      );
      this.pruneBlock(begin, width);
    }
  }

  private pruneBlock(begin: number, width: number): void {
    const { rows, cols } = this.weight;
    const { pattern, sparsity } = this.amount;
    const upper = this.upperBlock(begin, width);
    const drop = dropCount(rows * width, sparsity);
    const mask =
      pattern.kind === "n:m" ? undefined : lowestScores(this.blockScores(begin, width), drop);
    const group = new Float64Array(pattern.kind === "n:m" ? pattern.m : 0);
    const row = new Float64Array(width);
    const dropped = new Uint8Array(width);
    for (let i = 0; i < rows; i++) {
      const at = i * cols + begin;
      row.set(this.values.subarray(at, at + width));
      if (mask === undefined) dropped.fill(0);
      else dropped.set(mask.subarray(i * width, (i + 1) * width));
      this.pruneRow(i, begin, row, dropped, upper, group);
    }
  }

  /** One row of a block, column by column; what it loses takes the place of its weights. */
  private pruneRow(
    index: number,
    begin: number,
    row: Float64Array,
    dropped: Uint8Array,
    upper: Float64Array,
    group: Float64Array,
  ): void {
    const { bits, cols, dtype } = this.weight;
    const width = row.length;
    const at = index * cols + begin;
    const [mask, infinity] = [keyMask(bits), INFINITY_BITS[dtype]];
    for (let j = 0; j < width; j++) {
      if (group.length > 0 && j % group.length === 0)
        this.chooseGroup(index, begin, j, row, dropped, group);
      if (dropped[j] === 0) {
        this.values[at + j] = 0;
        const key = bits[at + j]! & mask;
        // a zero that nothing was added to stays one
        if (key < infinity && (key !== 0 || row[j] !== 0)) bits[at + j] = keptBits(row[j]!, dtype);
        continue;
      }
      bits[at + j] = 0;
      const lost = row[j]! / upper[j * width + j]!;
      this.values[at + j] = lost;
      for (let k = j + 1; k < width; k++) row[k]! -= lost * upper[j * width + k]!;
    }
  }

  /** Which of a group go, from weights as they are by now. */
  private chooseGroup(
    index: number,
    begin: number,
    from: number,
    row: Float64Array,
    dropped: Uint8Array,
    scores: Float64Array,
  ): void {
    const { pattern } = this.amount;
    const count = Math.min(scores.length, row.length - from);
    const drop = pattern.kind === "n:m" ? count - pattern.n : 0;
    for (let i = 0; i < count; i++)
      scores[i] = this.scoreOf(index, begin + from + i, row[from + i]!);
    for (let i = 0; i < count; i++) dropped[from + i] = rankOf(scores, 0, count, i) < drop ? 1 : 0;
  }

  private blockScores(begin: number, width: number): Float64Array {
    const { rows, cols } = this.weight;
    const scores = new Float64Array(rows * width);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < width; j++) {
        const col = begin + j;
        scores[i * width + j] = this.scoreOf(i, col, this.values[i * cols + col]!);
      }
    }
    return scores;
  }

  /** w² / U_jj²; what is not finite goes last, what is always multiplied by zero first. */
  private scoreOf(row: number, col: number, value: number): number {
    const { bits, cols, dtype } = this.weight;
    if ((bits[row * cols + col]! & keyMask(bits)) >= INFINITY_BITS[dtype])
      return Number.POSITIVE_INFINITY;
    if (this.dead[col] === 1) return 0;
    const scale = this.factor[col * cols + col]!;
    return (value * value) / (scale * scale);
  }

  /** The block of U on its diagonal, row-major. */
  private upperBlock(begin: number, width: number): Float64Array {
    const { cols } = this.weight;
    const upper = new Float64Array(width * width);
    for (let j = 0; j < width; j++) {
      for (let k = j; k < width; k++)
        upper[j * width + k] = this.factor[(begin + k) * cols + begin + j]!;
    }
    return upper;
  }
}

/** Uᵀ of the damped H. Throws E_STATS_SINGULAR. */
function factorOf(
  { name, cols }: WeightMatrix,
  gram: Float64Array,
  dead: Uint8Array,
  damping: number,
  product: SubtractProduct,
): Float64Array {
  let mean = 0;
  for (let j = 0; j < cols; j++) mean += dead[j] === 1 ? 1 : gram[j * cols + j]!;
  mean /= cols;
  for (const times of MORE_DAMPING) {
    const damped = gram.slice();
    for (let j = 0; j < cols; j++)
      damped[j * cols + j] = (dead[j] === 1 ? 1 : damped[j * cols + j]!) + times * damping * mean;
    const factor = inverseFactor(damped, cols, product);
    if (factor !== undefined) return factor;
  }
  throw new SpInferError("E_STATS_SINGULAR", `${name}: the Gram matrix cannot be inverted`, {
    tensor: name,
    found: `it is not positive definite with a damping of ${100 * damping} either`,
    expected: "XᵀX of calibration inputs",
    hint: "calibrate again with more text, or raise damping in the recipe",
  });
}
