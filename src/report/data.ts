/** What a page is made of. Plain values; texts come as they are and are made safe where they are put. */

export interface ReportData {
  readonly title: string;
  /** Of SpInfer, which made the page. */
  readonly version: string;
  readonly sweeps: readonly SweepData[];
  readonly evaluations: readonly EvaluationData[];
  readonly checkpoints: readonly LayerMap[];
  readonly kernels: readonly KernelData[];
  readonly speeds: readonly SpeedData[];
}

/** A label and its value; long values are hashes and the like. */
export type Fact = readonly [label: string, value: string];

export interface PerplexityData {
  readonly perplexity: number;
  readonly stderr: number | null;
}

export interface SweepData {
  readonly model: string;
  /** "wanda, windows of 512": under the axis. */
  readonly protocol: string;
  readonly dense: PerplexityData & {
    /** Of the model's files. */
    readonly bytes: number;
    readonly evaluateMs: number;
    readonly peakBytes: number;
  };
  readonly points: readonly PointData[];
  readonly calibration?: { readonly ms: number; readonly peakBytes: number } | undefined;
  readonly maps: readonly LayerMap[];
  readonly provenance: readonly Fact[];
}

export interface PointData extends PerplexityData {
  readonly method: string;
  /** Of the matrices that were pruned. */
  readonly sparsity: number;
  /** As asked for; what points of several methods share. */
  readonly asked: number;
  /** N:M; absent: unstructured. */
  readonly pattern?: string | undefined;
  /** perplexity / dense − 1 */
  readonly delta: number;
  readonly bytes: number;
  /** Of the same tensors, stored dense. */
  readonly denseBytes: number;
  readonly pruneMs: number;
  readonly evaluateMs: number;
  readonly peakBytes: number;
}

/** The pruned matrices of one checkpoint, by block and kind. */
export interface LayerMap {
  /** The method, or the checkpoint's name. */
  readonly title: string;
  /** Of a point of a sweep: "50 %", "2:4". */
  readonly amount?: string | undefined;
  readonly cells: readonly LayerCell[];
}

export interface LayerCell {
  /** self_attn.q_proj */
  readonly kind: string;
  readonly block: number;
  readonly sparsity: number;
  readonly bytes: number;
  readonly denseBytes: number;
}

export interface EvaluationData extends PerplexityData {
  readonly model: string;
  readonly protocol: string;
  readonly sparsity: number | null;
  readonly base?:
    | (PerplexityData & {
        readonly model: string;
        readonly delta: number;
        readonly kl: number | null;
        readonly agreement: number | null;
      })
    | undefined;
  readonly gates: readonly { readonly gate: string; readonly passed: boolean }[];
  readonly provenance: readonly Fact[];
}

export interface KernelData {
  readonly gpu: string;
  readonly method: string;
  readonly means: readonly KernelMean[];
  readonly cells: readonly KernelCell[];
  readonly provenance: readonly Fact[];
}

/** Geometric mean over matrices. */
export interface KernelMean {
  readonly tokens: number;
  readonly sparsity: number;
  readonly matrices: number;
  /** Time of the best dense product over that of the sparse one. */
  readonly ratio: number;
}

export interface KernelCell {
  readonly matrix: string;
  readonly tokens: number;
  readonly sparsity: number;
  readonly baseline: string;
  readonly ratio: number;
}

/** Whole models on a GPU, dense and packed in one process: one record of spinfer-bench-hf. */
export interface SpeedData {
  readonly gpu: string;
  readonly command: string;
  readonly models: readonly ModelSpeed[];
  readonly provenance: readonly Fact[];
}

export interface ModelSpeed {
  readonly model: string;
  /** SHA-256 of the manifest of the checkpoint that was measured; absent: random weights. */
  readonly manifest?: string | undefined;
  readonly perplexity?: SpeedPerplexity | undefined;
  readonly decode: readonly DecodeSpeed[];
  readonly prefill: readonly PrefillSpeed[];
  readonly loading: readonly LoadingSpeed[];
}

/** Of both sides, which have the same weights. */
export interface SpeedPerplexity {
  readonly dense: { readonly value: number };
  readonly sparse: {
    readonly value: number;
    /** Scored. */
    readonly tokens: number;
    readonly window: number;
  };
}

export interface DecodeSpeed {
  /** Which decoder both sides ran: "fused", "transformers". */
  readonly engine: string;
  readonly sparsity: number;
  /** Sequences at a time. */
  readonly batch: number;
  /** Time of the dense step over that of the packed one. */
  readonly ratio: number;
  readonly dense: SideSpeed;
  readonly sparse: SideSpeed;
}

export interface SideSpeed {
  readonly tokensPerSecond: number;
  /** Standard deviation of it over the rounds. */
  readonly deviation?: number | undefined;
  readonly peakBytes: number;
  readonly joulesPerToken: number | null;
}

export interface PrefillSpeed {
  readonly engine: string;
  readonly sparsity: number;
  readonly tokens: number;
  readonly ratio: number;
}

/** Medians. */
export interface LoadingSpeed {
  readonly pageCache: "warm" | "cold";
  readonly device: string;
  readonly denseMs: number;
  readonly sparseMs: number;
}
