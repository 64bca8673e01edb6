/**
 * Gemma 1, 2 and 3 (text). Their norms multiply by 1 + weight; llama.cpp's converter adds the 1.
 *
 * Gemma 2 and 3 scale queries by a number that no GGUF carries: llama.cpp derives it from the
 * count of layers (src/llama-model.cpp: the 27B models, of 46 and 62 layers, use the hidden size
 * a head, all others the size of a head), and so does `queryScalar`.
 */
import type { ModelConfig } from "../../../src/core/archive.ts";
import { ropeScaling } from "../ropeScaling.ts";
import { shortestFloat } from "../sizes.ts";
import { type ConfigSource, defineArchitecture, type TensorRule } from "./defineArchitecture.ts";
import {
  ATTENTION,
  ATTENTION_OUTPUT,
  EMBEDDING,
  FINAL_NORM,
  HEAD_NORMS,
  INPUT_NORM,
  MLP,
  MLP_NORM,
  norm,
  OUTPUT,
  withOneAdded,
} from "./rules.ts";

const WEIGHTS: readonly TensorRule[] = [EMBEDDING, OUTPUT, ...ATTENTION, ATTENTION_OUTPUT, ...MLP];

const LAYER = "model.layers.{}";
/** Gemma 2 and 3 have norms before and after the MLP, and one after the attention. */
const FOUR_NORMS: readonly TensorRule[] = [
  FINAL_NORM,
  INPUT_NORM,
  norm("blk.{}.post_attention_norm", `${LAYER}.post_attention_layernorm`),
  norm("blk.{}.ffn_norm", `${LAYER}.pre_feedforward_layernorm`),
  norm("blk.{}.post_ffw_norm", `${LAYER}.post_feedforward_layernorm`),
];

const ACTIVATION = "gelu_pytorch_tanh";

export const gemma = defineArchitecture({
  name: "gemma",
  modelType: "gemma",
  modelClass: "GemmaForCausalLM",
  tensors: [...WEIGHTS, ...withOneAdded([FINAL_NORM, INPUT_NORM, MLP_NORM])],
  tables: [],
  ignored: [],
  config: (source) => ({
    hidden_act: ACTIVATION,
    hidden_activation: ACTIVATION,
    head_dim: source.sizes.headDim,
    rope_scaling: ropeScaling(source),
  }),
});

const queryScalar = ({ sizes }: ConfigSource, layersOf27B: number): number =>
  sizes.layers === layersOf27B ? sizes.hidden / sizes.heads : sizes.headDim;

export const gemma2 = defineArchitecture({
  name: "gemma2",
  modelType: "gemma2",
  modelClass: "Gemma2ForCausalLM",
  tensors: [...WEIGHTS, ...withOneAdded(FOUR_NORMS)],
  tables: [],
  ignored: [],
  config: (source) => ({
    hidden_activation: ACTIVATION,
    head_dim: source.sizes.headDim,
    query_pre_attn_scalar: queryScalar(source, 46),
    sliding_window: source.metadata.count("gemma2.attention.sliding_window") ?? 4096,
    attn_logit_softcapping: softcap(source, "gemma2.attn_logit_softcapping") ?? 50,
    final_logit_softcapping: softcap(source, "gemma2.final_logit_softcapping") ?? 30,
    rope_scaling: ropeScaling(source),
  }),
});

function softcap({ metadata }: ConfigSource, key: string): number | undefined {
  const value = metadata.float(key);
  return value === undefined ? undefined : shortestFloat(value);
}

export const gemma3 = defineArchitecture({
  name: "gemma3",
  modelType: "gemma3_text",
  modelClass: "Gemma3ForCausalLM",
  tensors: [...WEIGHTS, ...withOneAdded([...FOUR_NORMS, ...HEAD_NORMS])],
  tables: [],
  ignored: [],
  config: (source) => ({
    hidden_activation: ACTIVATION,
    head_dim: source.sizes.headDim,
    query_pre_attn_scalar: queryScalar(source, 62),
    sliding_window: source.metadata.required(
      source.metadata.count,
      "gemma3.attention.sliding_window",
    ),
    ...layerPattern(source),
    final_logit_softcapping: softcap(source, "gemma3.final_logit_softcapping") ?? null,
    rope_local_base_freq: softcap(source, "gemma3.rope.freq_base_swa") ?? 10_000,
    rope_scaling: ropeScaling(source),
  }),
});

/** Every sixth layer sees everything, unless the file says otherwise. */
function layerPattern({ metadata, sizes }: ConfigSource): ModelConfig {
  const key = "gemma3.attention.sliding_window_pattern";
  if (!metadata.isArray(key)) return { sliding_window_pattern: metadata.count(key) ?? 6 };
  const sliding = metadata.bools(key) ?? [];
  if (sliding.length !== sizes.layers) {
    throw metadata.wrong(key, `has ${sliding.length} values for ${sizes.layers} layers`);
  }
  return {
    layer_types: sliding.map((slides) => (slides ? "sliding_attention" : "full_attention")),
  };
}
