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
import { type DenseKernels, plainDense } from "./denseKernels.ts";
import { inverseFactor, transposedBlock } from "./inverseFactor.ts";
import { dropCount, exactly, keptByPattern } from "./pattern.ts";
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
  private readonly kernels: DenseKernels;
  /** Uᵀ, lower triangular. */
  private readonly factor: Float64Array;
  /** U_jj²; infinite for inputs that are zero on all of the text, which makes their scores 0. */
  private readonly scales: Float64Array;
  /** The weights; of blocks that are done, what they lost, over U_jj. */
  private readonly values: Float64Array;

  constructor(weight: WeightMatrix, context: PruneContext, amount: Amount, options: Options) {
    const { cols } = weight;
    this.weight = weight;
    this.amount = amount;
    this.kernels = context.dense ?? plainDense;
    // groups of N:M are not cut by blocks
    const { pattern } = amount;
    const step = pattern.kind === "n:m" ? pattern.m : 1;
    this.size = Math.min(cols, Math.ceil(options.block_size / step) * step);
    const gram = statistic(weight, context.stats, "gram");
    this.factor = factorOf(weight, gram, options.damping, this.kernels);
    this.scales = Float64Array.from({ length: cols }, (_, j) =>
      gram[j * cols + j] === 0 ? Number.POSITIVE_INFINITY : this.factor[j * cols + j]! ** 2,
    );
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
      this.kernels.subtractProduct(
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
    const part = { values: this.values, begin, stride: cols };
    const upper = transposedBlock(this.factor, cols, begin, width);
    const size = { rows, cols: width };
    if (pattern.kind === "n:m") {
      const scales = this.scales.subarray(begin, begin + width);
      const marks = this.nonfiniteMarks(begin, width);
      this.kernels.eliminateGroups(part, upper, size, { ...pattern, scales }, marks);
      this.writeBlock(begin, width, marks);
    } else {
      const drop = dropCount(rows * width, sparsity);
      const marks = new Uint8Array(rows * width);
      this.kernels.markLowest(
        { rows: 1, cols: rows * width },
        drop,
        (_, scores) => this.blockScores(begin, width, scores),
        (_, lowest) => marks.set(lowest),
      );
      this.kernels.eliminate(part, upper, size, marks);
      this.writeBlock(begin, width, marks);
    }
  }

  /** Puts a block's weights into their places; what it lost stays in `values`. */
  private writeBlock(begin: number, width: number, dropped: Uint8Array): void {
    const { bits, rows, cols, dtype } = this.weight;
    const [mask, infinity] = [keyMask(bits), INFINITY_BITS[dtype]];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < width; j++) {
        const at = i * cols + begin + j;
        if (dropped[i * width + j] === 1) {
          bits[at] = 0;
          continue;
        }
        const [key, value] = [bits[at]! & mask, this.values[at]!];
        // a zero that nothing was added to stays one
        if (key < infinity && (key !== 0 || value !== 0)) bits[at] = keptBits(value, dtype);
        this.values[at] = 0;
      }
    }
  }

  /** w² / U_jj² of a block; what is not finite goes last, what is always multiplied by zero first. */
  private blockScores(begin: number, width: number, scores: Float64Array): void {
    const { bits, rows, cols, dtype } = this.weight;
    const { values, scales } = this;
    const [mask, infinity] = [keyMask(bits), INFINITY_BITS[dtype]];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < width; j++) {
        const at = i * cols + begin + j;
        const value = values[at]!;
        const finite = (bits[at]! & mask) < infinity;
        scores[i * width + j] = finite
          ? (value * value) / scales[begin + j]!
          : Number.POSITIVE_INFINITY;
      }
    }
  }

  private nonfiniteMarks(begin: number, width: number): Uint8Array {
    const { bits, rows, cols, dtype } = this.weight;
    const [mask, infinity] = [keyMask(bits), INFINITY_BITS[dtype]];
    const marks = new Uint8Array(rows * width);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < width; j++)
        marks[i * width + j] = (bits[i * cols + begin + j]! & mask) < infinity ? 0 : 1;
    }
    return marks;
  }
}

/** The factor made last of a Gram matrix: weights that read the same input share both. */
const factors = new WeakMap<Float64Array, { damping: number; factor: Float64Array }>();

/** Uᵀ of the damped H. Throws E_STATS_SINGULAR. */
function factorOf(
  { name, cols }: WeightMatrix,
  gram: Float64Array,
  damping: number,
  kernels: DenseKernels,
): Float64Array {
  const known = factors.get(gram);
  if (known?.damping === damping) return known.factor;
  // inputs that are zero on all of the text are as good as any other
  const diagonal = Float64Array.from({ length: cols }, (_, j) => gram[j * cols + j]! || 1);
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / cols;
  for (const times of MORE_DAMPING) {
    const damped = gram.slice();
    for (let j = 0; j < cols; j++) damped[j * cols + j] = diagonal[j]! + times * damping * mean;
    const factor = inverseFactor(damped, cols, kernels);
    if (factor === undefined) continue;
    factors.set(gram, { damping, factor });
    return factor;
  }
  throw new SpInferError("E_STATS_SINGULAR", `${name}: the Gram matrix cannot be inverted`, {
    tensor: name,
    found: `it is not positive definite with a damping of ${100 * damping} either`,
    expected: "XᵀX of calibration inputs",
    hint: "calibrate again with more text, or raise damping in the recipe",
  });
}
