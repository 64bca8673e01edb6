/**
 * The contract of a pruner: a value in the list of ./index.ts. Pure: weights and statistics in,
 * pruned weights out; reading, statistics and writing are the pipeline's work.
 */

import type { WeightDtype } from "../src/core/dtype.ts";
import { SpInferError } from "../src/core/errors.ts";
import { nearest } from "../src/core/text.ts";
import { type Infer, type ZodObject, type ZodRawShape, z } from "../src/core/zod.ts";
import type { DenseKernels } from "./denseKernels.ts";
import type { Pattern } from "./pattern.ts";
import type { SelectKernels, WeightBits } from "./select.ts";

/**
 * A weight matrix, outputs × inputs, row-major, whatever its layout in the checkpoint.
 * A pruner owns the matrix it is handed: it zeroes what it drops and may update what it keeps.
 */
export interface WeightMatrix {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly dtype: WeightDtype;
  readonly bits: WeightBits;
}

/**
 * What calibration can gather for a matrix; none of it exists for pruners that need nothing. Sums
 * over all tokens of all samples, in float64; `./statistics.ts` checks them for a pruner.
 */
export interface ActivationStats {
  /** ‖x_j‖₂ of each input column; length cols. */
  readonly inputNorms?: Float64Array;
  /** Σ x_j of each input column; length cols. */
  readonly inputSums?: Float64Array;
  /** XᵀX over the calibration inputs; cols × cols. */
  readonly gram?: Float64Array;
  readonly tokens?: number;
  /** Windows of text that the tokens came in. */
  readonly samples?: number;
}

export type StatName = "inputNorms" | "inputSums" | "gram";

export interface PruneContext {
  readonly kernels: SelectKernels;
  /** Absent: the plain ones. */
  readonly dense?: DenseKernels;
  readonly stats: ActivationStats;
  /** What the survey decided for this matrix, where the pruner asks for one. */
  readonly decision?: unknown;
}

/** One matrix among those that are compared with each other across the model. */
export interface SurveyItem {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly dtype: WeightDtype;
}

/**
 * A comparison across matrices, without holding them: every round looks at each matrix once, adds
 * up counts, and narrows down; at the end each matrix has a decision. State and decisions are
 * plain data, since matrices are looked at in worker threads.
 */
export interface Survey {
  start(items: readonly SurveyItem[]): SurveyState;
  /** Counts of one matrix in this round. */
  gather(weight: WeightMatrix, state: SurveyState, context: PruneContext): Float64Array;
  /** Takes the counts of one matrix; called in the order of `items`. */
  add(state: SurveyState, name: string, counts: Float64Array): void;
  /** The next round's state, or the decisions by matrix name. */
  next(
    state: SurveyState,
  ): { readonly round: SurveyState } | { readonly decisions: Map<string, unknown> };
}

export interface SurveyState {
  readonly [key: string]: unknown;
}

/** A pruner with its options checked: what the pipeline works with. */
export interface ConfiguredPruner {
  readonly name: string;
  /** The options, complete, as the manifest records them. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What it needs with these options. */
  readonly needs: readonly StatName[];
  readonly survey?: Survey;
  /** Most nonzeros that can be left in a matrix of this shape, and what is expected. */
  expectNonzeros(rows: number, cols: number): { readonly most: number; readonly expected: number };
  prune(weight: WeightMatrix, context: PruneContext): void;
}

/** How much goes: a fraction, or N of every M. */
export interface Amount {
  readonly sparsity: number;
  readonly pattern: Pattern;
}

export interface Pruner {
  readonly name: string;
  readonly summary: string;
  /** What it needs with its default options. */
  readonly needs: readonly StatName[];
  /** Whether weights that are kept may change. */
  readonly updates: boolean;
  /** Names of the options besides amount, with their defaults, for help and recipes. */
  readonly optionNames: readonly string[];
  /** Throws E_OPTION when the options are not its own. */
  configure(amount: Amount, options: Readonly<Record<string, unknown>>): ConfiguredPruner;
}

interface PrunerSpec<Shape extends ZodRawShape> {
  readonly name: string;
  readonly summary: string;
  readonly needs: readonly StatName[];
  /** Absent: what is kept stays as it is. */
  readonly updates?: true;
  readonly options: Shape;
  configure(amount: Amount, options: Infer<ZodObject<Shape>>): PrunerWork;
}

/** What a pruner does once its options are known. */
export interface PrunerWork extends Pick<ConfiguredPruner, "expectNonzeros" | "prune"> {
  readonly survey?: Survey;
  /** Absent: what it needs with any options. */
  readonly needs?: readonly StatName[];
}

/** Seals the options' type, so that lists of pruners need not know it. */
export function definePruner<Shape extends ZodRawShape>(spec: PrunerSpec<Shape>): Pruner {
  const schema = z.strictObject(spec.options);
  const optionNames = Object.keys(spec.options);
  return {
    name: spec.name,
    summary: spec.summary,
    needs: spec.needs,
    updates: spec.updates ?? false,
    optionNames,
    configure(amount, raw) {
      for (const key of Object.keys(raw)) {
        if (optionNames.includes(key)) continue;
        const close = nearest(key, optionNames);
        throw new SpInferError("E_OPTION", `method ${spec.name} has no option "${key}"`, {
          expected: optionNames.length === 0 ? "no options" : optionNames.join(", "),
          hint: close === undefined ? undefined : `did you mean "${close}"?`,
        });
      }
      const parsed = schema.safeParse(raw);
      if (!parsed.success) {
        const issue = parsed.error.issues[0]!;
        const option = issue.path.join(".");
        throw new SpInferError(
          "E_OPTION",
          `method ${spec.name}, option ${option}: ${issue.message}`,
        );
      }
      const options = parsed.data as Infer<ZodObject<Shape>>;
      return {
        name: spec.name,
        options: options as Readonly<Record<string, unknown>>,
        needs: spec.needs,
        ...spec.configure(amount, options),
      };
    },
  };
}
