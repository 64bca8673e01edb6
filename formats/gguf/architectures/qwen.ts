/** Qwen 2 and 2.5 (biases on q, k and v) and Qwen 3 (norms on the heads of q and k), dense. */
import { ropeScaling } from "../ropeScaling.ts";
import { type ConfigSource, defineArchitecture, type TensorRule } from "./defineArchitecture.ts";
import {
  ATTENTION,
  ATTENTION_BIAS,
  ATTENTION_OUTPUT,
  ATTENTION_OUTPUT_BIAS,
  EMBEDDING,
  FINAL_NORM,
  HEAD_NORMS,
  INPUT_NORM,
  inGroup,
  MLP,
  MLP_NORM,
  OUTPUT,
} from "./rules.ts";

const COMMON: readonly TensorRule[] = [
  EMBEDDING,
  OUTPUT,
  FINAL_NORM,
  INPUT_NORM,
  ...ATTENTION,
  ATTENTION_OUTPUT,
  MLP_NORM,
  ...MLP,
];

const config = (source: ConfigSource) => ({
  hidden_act: "silu",
  head_dim: source.sizes.headDim,
  use_sliding_window: false,
  rope_scaling: ropeScaling(source),
});

export const qwen2 = defineArchitecture({
  name: "qwen2",
  modelType: "qwen2",
  modelClass: "Qwen2ForCausalLM",
  tensors: [...COMMON, ...ATTENTION_BIAS],
  tables: [],
  ignored: [],
  config,
});

export const qwen3 = defineArchitecture({
  name: "qwen3",
  modelType: "qwen3",
  modelClass: "Qwen3ForCausalLM",
  tensors: [
    ...COMMON,
    ...HEAD_NORMS,
    ...inGroup("attentionBias", [...ATTENTION_BIAS, ATTENTION_OUTPUT_BIAS]),
  ],
  tables: [],
  ignored: [],
  config: (source) => ({
    ...config(source),
    attention_bias: source.groups.has("attentionBias"),
  }),
});
