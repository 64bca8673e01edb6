/**
 * What the engines differ in: making a part of a model ready and running it. The rest of a
 * RunnableModel is the same for all (runnable.ts).
 */
import type { Part } from "../model/architectures/ops.ts";
import type { WeightSlot } from "../model/architectures/survey.ts";
import type {
  BlockOutput,
  DenseTensor,
  EngineName,
  HalfTensor,
  InstructionSet,
  Observation,
  ObservedInputs,
} from "./engine.ts";

/** A part of the model with its weights. The backend may keep or change the arrays. */
export interface LoadedPart {
  readonly part: Part;
  readonly slots: readonly WeightSlot[];
  /** By the names that the ops use. */
  readonly weights: ReadonlyMap<string, DenseTensor>;
  /** Matrices that were not widened, for those who take them so. */
  readonly halves?: ReadonlyMap<string, HalfTensor>;
}

export interface ReadyBlock {
  /** As RunnableBlock does. */
  run(
    hidden: Float32Array,
    length: number,
    observe: Observation,
    sums: ObservedInputs,
  ): Promise<BlockOutput>;
  observe(
    hidden: Float32Array,
    length: number,
    observe: Exclude<Observation, "none">,
    sums: ObservedInputs,
  ): Promise<void>;
  close(): Promise<void>;
}

export interface ReadyHead {
  /** As RunnableModel does. */
  score(hidden: Float32Array, targets: Int32Array): Promise<Float64Array>;
  logits(hidden: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

export interface Backend {
  readonly name: EngineName;
  readonly instructions?: InstructionSet;
  /** Whether matrices of linear layers may be 16 bits wide; false when absent. */
  readonly takesHalves?: boolean;
  block(loaded: LoadedPart, hidden: number): Promise<ReadyBlock>;
  head(loaded: LoadedPart, hidden: number, vocabulary: number): Promise<ReadyHead>;
  /** Whether no value is NaN or infinite; absent where that is no faster than in this language. */
  allFinite?(values: Float32Array): Promise<boolean>;
  close(): Promise<void>;
}
