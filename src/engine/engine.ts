/**
 * What running a model means to those who evaluate and calibrate it. All numbers are float32,
 * row-major; a batch is a number of windows of the same length, each a sequence of its own with
 * positions from 0 and causal attention.
 *
 * Blocks are opened one at a time, so that a model larger than memory still runs: the caller takes
 * all its windows through a block before it opens the next.
 */
import type { HalfDtype } from "../core/dtype.ts";

/** From the fastest to the one that runs anywhere. */
export const ENGINES = ["native", "onnxruntime", "typescript"] as const;
export type EngineName = (typeof ENGINES)[number];

/** Instruction sets that the native engine has code for, the newest first. */
export const INSTRUCTION_SETS = ["amx", "avx512", "avx2"] as const;
export type InstructionSet = (typeof INSTRUCTION_SETS)[number];

/** What decides the last bits of results: "native (amx)", "onnxruntime". */
export function engineLabel(ran: {
  readonly engine: EngineName;
  readonly instructions?: InstructionSet | null | undefined;
}): string {
  return ran.instructions ? `${ran.engine} (${ran.instructions})` : ran.engine;
}

/** A tensor of the checkpoint as float32 with its dense shape, whatever its storage. */
export interface DenseTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A tensor of the checkpoint as float16 or bfloat16 bits, with its dense shape. */
export interface HalfTensor {
  readonly shape: readonly number[];
  readonly dtype: HalfDtype;
  readonly halves: Uint16Array;
}

/** Reads tensors by their name in the checkpoint; the pipeline makes one from an opened model. */
export interface WeightSource {
  has(name: string): boolean;
  shapeOf(name: string): readonly number[];
  /**
   * A fresh array at each call: the engine moves it to its thread. Throws E_ARCH_TENSOR when there
   * is no such tensor.
   */
  read(name: string): Promise<DenseTensor>;
  /** The same without widening, for engines that take 16 bits; undefined for other types. */
  readHalves?(name: string): Promise<HalfTensor | undefined>;
}

/** What a model is, as far as callers need to know. */
export interface ModelFacts {
  /** model_type of config.json. */
  readonly family: string;
  readonly blocks: number;
  readonly hidden: number;
  readonly vocabulary: number;
  /**
   * max_position_embeddings: the longest window that the model was made for. Models with a table of
   * positions (GPT-2, OPT) cannot run longer ones and throw E_OPTION; rotary ones run them badly.
   */
  readonly positions: number;
}

/** What is gathered of the inputs of each linear layer of a block. */
export type Observation = "none" | "norms" | "gram";

/** Sums over every token of a batch, in float64. */
export interface LayerInputs {
  readonly tokens: number;
  /** Σ x_j² of each input column. */
  readonly squares: Float64Array;
  /** Σ x_j of each input column. */
  readonly sums: Float64Array;
  /** Lower triangle of XᵀX, row by row: of (i, j ≤ i) at i·(i + 1)/2 + j. With "gram" only. */
  readonly gram?: Float64Array;
}

/** By the checkpoint's name of the weight; weights that read the same input share an object. */
export type ObservedInputs = Map<string, LayerInputs>;

export interface BlockOutput {
  /** [windows × length, hidden]. */
  readonly hidden: Float32Array;
  /** By the checkpoint's name of the weight ("model.layers.0.mlp.down_proj.weight"). */
  readonly observed: ReadonlyMap<string, LayerInputs>;
}

export interface RunnableBlock {
  /**
   * hidden: [windows × length, hidden]; not changed. What is observed is added to `sums`, which is
   * `observed` of what comes back; absent: to nothing. Throws E_ACTIVATIONS for NaN and infinity.
   */
  run(
    hidden: Float32Array,
    length: number,
    observe?: Observation,
    sums?: ObservedInputs,
  ): Promise<BlockOutput>;
  /** Observes alone: what no layer reads is not computed, such as what comes out of the block. */
  observe(
    hidden: Float32Array,
    length: number,
    observe: Exclude<Observation, "none">,
    sums: ObservedInputs,
  ): Promise<void>;
  close(): Promise<void>;
}

export interface RunnableModel {
  readonly engine: EngineName;
  /** Of the native engine: which of the processor's instruction sets it uses. */
  readonly instructions?: InstructionSet | undefined;
  readonly facts: ModelFacts;
  /** ids [windows × length] → hidden states [windows × length, hidden]. Throws E_TOKEN_ID. */
  embed(ids: Int32Array, length: number): Promise<Float32Array>;
  /**
   * The weights of one block, read and made ready. `replaced` gives other values for some of them
   * (a block that has just been pruned and is not in any file yet), by their names in the
   * checkpoint, in the checkpoint's layout; they are copied. Throws E_ARCH_TENSOR and E_ARCH_SHAPE.
   */
  openBlock(index: number, replaced?: ReadonlyMap<string, DenseTensor>): Promise<RunnableBlock>;
  /**
   * Final norm, head and log-softmax in slices of rows: of each row −ln p(target), natural
   * logarithm, and NaN where the target is −1. Throws E_TOKEN_ID, and E_ACTIVATIONS where a loss
   * is no number.
   */
  score(hidden: Float32Array, targets: Int32Array): Promise<Float64Array>;
  /** Final norm and head: [rows, vocabulary]. Large: for few rows. */
  logits(hidden: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}
