/** Tensors that most decoders have, to be put together by the architectures. */
import type { TensorRule } from "./defineArchitecture.ts";

const LAYER = "model.layers.{}";

export const EMBEDDING: TensorRule = {
  gguf: "token_embd.weight",
  hf: "model.embed_tokens.weight",
  shape: ["vocab", "hidden"],
};

/** Absent where the embedding is used for the output too. */
export const OUTPUT: TensorRule = {
  gguf: "output.weight",
  hf: "lm_head.weight",
  shape: ["vocab", "hidden"],
  group: "output",
};

export const norm = (gguf: string, hf: string): TensorRule => ({
  gguf: `${gguf}.weight`,
  hf: `${hf}.weight`,
  shape: ["hidden"],
});

export const FINAL_NORM = norm("output_norm", "model.norm");
export const INPUT_NORM = norm("blk.{}.attn_norm", `${LAYER}.input_layernorm`);
/** Before the MLP; transformers names it by what it follows. */
export const MLP_NORM = norm("blk.{}.ffn_norm", `${LAYER}.post_attention_layernorm`);

export const ATTENTION: readonly TensorRule[] = [
  {
    gguf: "blk.{}.attn_q.weight",
    hf: `${LAYER}.self_attn.q_proj.weight`,
    shape: ["q", "hidden"],
  },
  {
    gguf: "blk.{}.attn_k.weight",
    hf: `${LAYER}.self_attn.k_proj.weight`,
    shape: ["kv", "hidden"],
  },
  {
    gguf: "blk.{}.attn_v.weight",
    hf: `${LAYER}.self_attn.v_proj.weight`,
    shape: ["kv", "hidden"],
  },
];

export const ATTENTION_OUTPUT: TensorRule = {
  gguf: "blk.{}.attn_output.weight",
  hf: `${LAYER}.self_attn.o_proj.weight`,
  shape: ["hidden", "q"],
};

export const ATTENTION_BIAS: readonly TensorRule[] = [
  { gguf: "blk.{}.attn_q.bias", hf: `${LAYER}.self_attn.q_proj.bias`, shape: ["q"] },
  { gguf: "blk.{}.attn_k.bias", hf: `${LAYER}.self_attn.k_proj.bias`, shape: ["kv"] },
  { gguf: "blk.{}.attn_v.bias", hf: `${LAYER}.self_attn.v_proj.bias`, shape: ["kv"] },
];

export const ATTENTION_OUTPUT_BIAS: TensorRule = {
  gguf: "blk.{}.attn_output.bias",
  hf: `${LAYER}.self_attn.o_proj.bias`,
  shape: ["hidden"],
};

export const HEAD_NORMS: readonly TensorRule[] = [
  {
    gguf: "blk.{}.attn_q_norm.weight",
    hf: `${LAYER}.self_attn.q_norm.weight`,
    shape: ["headDim"],
  },
  {
    gguf: "blk.{}.attn_k_norm.weight",
    hf: `${LAYER}.self_attn.k_norm.weight`,
    shape: ["headDim"],
  },
];

export const MLP: readonly TensorRule[] = [
  { gguf: "blk.{}.ffn_gate.weight", hf: `${LAYER}.mlp.gate_proj.weight`, shape: ["ffn", "hidden"] },
  { gguf: "blk.{}.ffn_up.weight", hf: `${LAYER}.mlp.up_proj.weight`, shape: ["ffn", "hidden"] },
  { gguf: "blk.{}.ffn_down.weight", hf: `${LAYER}.mlp.down_proj.weight`, shape: ["hidden", "ffn"] },
];

export const MLP_BIAS: readonly TensorRule[] = [
  { gguf: "blk.{}.ffn_gate.bias", hf: `${LAYER}.mlp.gate_proj.bias`, shape: ["ffn"] },
  { gguf: "blk.{}.ffn_up.bias", hf: `${LAYER}.mlp.up_proj.bias`, shape: ["ffn"] },
  { gguf: "blk.{}.ffn_down.bias", hf: `${LAYER}.mlp.down_proj.bias`, shape: ["hidden"] },
];

/** `rules` as members of an optional group. */
export const inGroup = (
  group: NonNullable<TensorRule["group"]>,
  rules: readonly TensorRule[],
): TensorRule[] => rules.map((rule) => ({ ...rule, group }));

/** Norms as Gemma's converter writes them: with 1 added, because Gemma multiplies by 1 + weight. */
export const withOneAdded = (rules: readonly TensorRule[]): TensorRule[] =>
  rules.map((rule) => ({ ...rule, subtractOne: true }));
