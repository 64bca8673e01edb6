/** The plan: what will be done with each tensor, as plain data. */
import type { TensorEntry } from "../../core/archive.ts";
import type { WeightDtype } from "../../core/dtype.ts";
import type { Orientation, Role } from "../../model/roles.ts";

/** How a matrix is pruned: a pruner's name, how much, and its options. */
export interface PruneSettings {
  readonly method: string;
  readonly sparsity: number;
  readonly pattern: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface TensorStep {
  readonly name: string;
  readonly role: Role;
  readonly source: TensorEntry;
  /** Dense shape, unchanged by all that is done. */
  readonly shape: readonly number[];
  /** dtype of the values in the output. */
  readonly dtype: string;
  readonly orientation: Orientation;
  /** Matrices in the tensor: more than one only for stacked experts. */
  readonly matrices: number;
  /** Outputs and inputs of each matrix; absent for what is no matrix. */
  readonly matrix?: { readonly rows: number; readonly cols: number };
  readonly prune?: PruneSettings;
  /** "auto": tile-bitmap if that is smaller, which only the values can tell. */
  readonly store: "dense" | "auto";
  /** Why it is not pruned, or not packed. */
  readonly reason?: string;
  /** The stored bytes go out as they came in. */
  readonly copy: boolean;
  readonly bytesIn: number;
  readonly bytesOut: { readonly most: number; readonly expected: number };
}

export interface ShardPlan {
  readonly file: string;
  /** Names of its tensors, in plan order. */
  readonly tensors: readonly string[];
  /** Bytes reserved for the JSON of its header. */
  readonly headerBytes: number;
}

export interface PlanTotals {
  readonly tensors: number;
  readonly pruned: number;
  readonly packed: number;
  readonly parameters: number;
  readonly prunedParameters: number;
  /** Zeros among the parameters that are pruned, as planned. */
  readonly sparsity: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly bytesOutMost: number;
}

export interface Plan {
  readonly model: string;
  readonly format: string;
  readonly to: "tile-bitmap" | "dense";
  /** dtype that the weights will have. */
  readonly dtype: WeightDtype;
  readonly steps: readonly TensorStep[];
  readonly shards: readonly ShardPlan[];
  readonly totals: PlanTotals;
  /** Estimate of the most memory that the process will hold. */
  readonly memoryBytes: number;
  /** Free disk space that the run needs. */
  readonly diskBytes: number;
  readonly estimatedMs: number;
  readonly threads: number;
  readonly warnings: readonly string[];
}
