/** Phi-3, 3.5 and Phi-4 mini: q, k, v in one matrix, gate and up in another, there as here. */
import { ropeScaling } from "../ropeScaling.ts";
import { type ConfigSource, defineArchitecture } from "./defineArchitecture.ts";
import {
  ATTENTION_OUTPUT,
  EMBEDDING,
  FINAL_NORM,
  INPUT_NORM,
  MLP,
  MLP_NORM,
  OUTPUT,
} from "./rules.ts";

const LAYER = "model.layers.{}";

export const phi3 = defineArchitecture({
  name: "phi3",
  modelType: "phi3",
  modelClass: "Phi3ForCausalLM",
  tensors: [
    EMBEDDING,
    OUTPUT,
    FINAL_NORM,
    INPUT_NORM,
    {
      gguf: "blk.{}.attn_qkv.weight",
      hf: `${LAYER}.self_attn.qkv_proj.weight`,
      shape: ["qkv", "hidden"],
    },
    ATTENTION_OUTPUT,
    MLP_NORM,
    {
      gguf: "blk.{}.ffn_up.weight",
      hf: `${LAYER}.mlp.gate_up_proj.weight`,
      shape: ["twoFfn", "hidden"],
    },
    ...MLP.filter(({ gguf }) => gguf.includes("ffn_down")),
  ],
  tables: ["rope_factors_long.weight", "rope_factors_short.weight"],
  ignored: [],
  config: (source) => {
    checkHeads(source);
    return {
      hidden_act: "silu",
      // 0 is how the converter writes that there is none
      sliding_window: source.metadata.count("phi3.attention.sliding_window") || null,
      original_max_position_embeddings:
        source.metadata.count("phi3.rope.scaling.original_context_length") ?? source.sizes.context,
      partial_rotary_factor: source.sizes.rotaryDims / source.sizes.headDim,
      rope_scaling: ropeScaling(source),
    };
  },
});

/** transformers derives the size of a head from the others. */
function checkHeads({ metadata, sizes }: ConfigSource): void {
  if (sizes.headDim * sizes.heads === sizes.hidden) return;
  throw metadata.wrong(
    "phi3.attention.key_length",
    `is ${sizes.headDim}, but ${sizes.heads} heads share a hidden size of ${sizes.hidden}`,
  );
}
