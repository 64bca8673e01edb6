/** What is written down about an architecture: names, shapes and what llama.cpp changed, as data. */
import type { ModelConfig } from "../../../src/core/archive.ts";
import type { Metadata } from "../metadata.ts";
import type { Sizes } from "../sizes.ts";

/** A size of the model that a tensor's shape is made of. */
export type Dim = "vocab" | "hidden" | "ffn" | "twoFfn" | "q" | "kv" | "qkv" | "headDim";

export interface TensorRule {
  /** Name in the GGUF; `{}` stands for the layer. */
  readonly gguf: string;
  /** Name in a Hugging Face folder. */
  readonly hf: string;
  /** Row-major, as in the folder. */
  readonly shape: readonly Dim[];
  /** Whose rows llama.cpp reordered for its rotary embedding. */
  readonly permute?: "heads" | "kvHeads";
  /** The file holds 1 + weight. */
  readonly subtractOne?: true;
  /** Tensors of a group are all there, in every layer, or none is; without a group: always. */
  readonly group?: Group;
}

export type Group = "output" | "attentionBias" | "mlpBias";

/** Small F32 tensors that are no weights: frequencies of the rotary embedding. */
export const TABLES = [
  "rope_freqs.weight",
  "rope_factors_long.weight",
  "rope_factors_short.weight",
] as const;
export type Table = (typeof TABLES)[number];

/** What `Architecture.config` can draw on. */
export interface ConfigSource {
  /** `general.architecture`, which most keys of the metadata begin with. */
  readonly arch: string;
  readonly metadata: Metadata;
  readonly sizes: Sizes;
  readonly groups: ReadonlySet<Group>;
  readonly tables: ReadonlyMap<Table, Float32Array>;
}

export interface Architecture {
  /** `general.architecture` of the GGUF. */
  readonly name: string;
  readonly modelType: string;
  readonly modelClass: string;
  readonly tensors: readonly TensorRule[];
  readonly tables: readonly Table[];
  /** Tensors that old converters wrote and nobody reads. */
  readonly ignored: readonly string[];
  /** The keys of config.json that not every architecture has. Throws E_GGUF_METADATA. */
  readonly config: (source: ConfigSource) => ModelConfig;
}

/** Identity; checks the type and freezes. */
export function defineArchitecture(architecture: Architecture): Architecture {
  return Object.freeze(architecture);
}
