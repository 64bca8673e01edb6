/**
 * "llama": Llama 1 to 3, SmolLM, TinyLlama, and Mistral 7B, which llama.cpp writes under the same
 * name. All become LlamaForCausalLM: for Mistral that is the same computation as long as a text
 * is not longer than its sliding window, which a GGUF of this architecture does not carry.
 *
 * llama.cpp rotates pairs of neighbouring rows, so its converter reorders q and k.
 */
import { ropeScaling } from "../ropeScaling.ts";
import { defineArchitecture, type TensorRule } from "./defineArchitecture.ts";
import {
  ATTENTION,
  ATTENTION_BIAS,
  ATTENTION_OUTPUT,
  ATTENTION_OUTPUT_BIAS,
  EMBEDDING,
  FINAL_NORM,
  INPUT_NORM,
  inGroup,
  MLP,
  MLP_BIAS,
  MLP_NORM,
  OUTPUT,
} from "./rules.ts";

function permuted(rule: TensorRule): TensorRule {
  if (rule.gguf.includes(".attn_q.")) return { ...rule, permute: "heads" };
  if (rule.gguf.includes(".attn_k.")) return { ...rule, permute: "kvHeads" };
  return rule;
}

export const llama = defineArchitecture({
  name: "llama",
  modelType: "llama",
  modelClass: "LlamaForCausalLM",
  tensors: [
    EMBEDDING,
    OUTPUT,
    FINAL_NORM,
    INPUT_NORM,
    ...ATTENTION,
    ATTENTION_OUTPUT,
    ...inGroup("attentionBias", [...ATTENTION_BIAS, ATTENTION_OUTPUT_BIAS]),
    MLP_NORM,
    ...MLP,
    ...inGroup("mlpBias", MLP_BIAS),
  ].map(permuted),
  tables: ["rope_freqs.weight"],
  ignored: ["blk.{}.attn_rot_embd.weight"],
  config: (source) => ({
    hidden_act: "silu",
    head_dim: source.sizes.headDim,
    attention_bias: source.groups.has("attentionBias"),
    mlp_bias: source.groups.has("mlpBias"),
    rope_scaling: ropeScaling(source),
  }),
});
