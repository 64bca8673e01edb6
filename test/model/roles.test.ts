import { describe, expect, it } from "vitest";
import { blockIndex, describeTensor, describeTensors, type Role } from "../../src/model/index.ts";
import { processorMs } from "../helpers/processorTime.ts";

describe("blockIndex", () => {
  it.each([
    ["model.layers.7.mlp.up_proj.weight", 7],
    ["transformer.h.0.attn.c_attn.weight", 0],
    ["h.11.mlp.c_fc.weight", 11],
    ["encoder.block.3.layer.0.SelfAttention.q.weight", 3],
    ["transformer.blocks.31.ffn.up_proj.weight", 31],
    ["bert.encoder.layer.5.output.dense.weight", 5],
    ["model.decoder.layers.2.fc1.weight", 2],
    ["albert.encoder.albert_layer_groups.0.albert_layers.1.ffn.weight", 0],
    ["model.language_model.layers.4.mlp.experts.9.w1.weight", 4],
  ])("of %s is %i", (name, block) => {
    expect(blockIndex(name)).toBe(block);
  });

  it.each([
    "model.embed_tokens.weight",
    "lm_head.weight",
    "model.layers.weight",
    "layers.x.weight",
    "model.experts.3.w1.weight",
    "layers.3",
    "7.weight",
    "model.layers.99999999999.weight",
  ])("of %s there is none", (name) => {
    expect(blockIndex(name)).toBeUndefined();
  });

  it("takes no longer for a hostile name", () => {
    const name = `${"layerslayer".repeat(6000)}.${"0.".repeat(10_000)}x`;
    expect(processorMs(() => blockIndex(name))).toBeLessThan(100);
  });
});

/** Tensors as checkpoints store them: [name, shape, role, config]. */
const TENSORS: [string, number[], Role, object?][] = [
  // Llama, Mistral, Qwen, Gemma, Phi
  ["model.embed_tokens.weight", [32_000, 64], "embedding"],
  ["lm_head.weight", [32_000, 64], "head"],
  ["model.norm.weight", [64], "norm"],
  ["model.layers.0.input_layernorm.weight", [64], "norm"],
  ["model.layers.0.self_attn.q_proj.weight", [64, 64], "linear"],
  ["model.layers.0.self_attn.q_proj.bias", [64], "bias"],
  ["model.layers.0.self_attn.q_norm.weight", [16], "norm"],
  ["model.layers.0.self_attn.qkv_proj.weight", [192, 64], "linear"],
  ["model.layers.0.mlp.gate_up_proj.weight", [256, 64], "linear"],
  ["model.layers.0.self_attn.rotary_emb.inv_freq", [8], "other"],
  ["model.layers.0.self_attn.q_layernorm.norms.0.weight", [16], "norm"],
  ["model.layers.0.self_attn.q_norm.weight", [4, 16], "norm"],
  // OPT
  ["model.decoder.embed_positions.weight", [2050, 64], "embedding"],
  ["model.decoder.project_in.weight", [64, 32], "other"],
  ["model.decoder.layers.0.fc1.weight", [256, 64], "linear"],
  ["model.decoder.layers.0.self_attn_layer_norm.weight", [64], "norm"],
  // GPT-2
  ["transformer.wte.weight", [50_257, 64], "embedding"],
  ["transformer.wpe.weight", [1024, 64], "embedding"],
  ["transformer.h.0.ln_1.weight", [64], "norm"],
  ["transformer.h.0.attn.bias", [1, 1, 1024, 1024], "bias"],
  ["transformer.h.0.attn.masked_bias", [], "bias"],
  ["transformer.h.0.attn.c_attn.weight", [64, 192], "linear"],
  // GPT-NeoX, BLOOM, Falcon
  ["gpt_neox.embed_in.weight", [50_432, 64], "embedding"],
  ["embed_out.weight", [50_432, 64], "head"],
  ["gpt_neox.layers.0.attention.query_key_value.weight", [192, 64], "linear"],
  ["transformer.word_embeddings.weight", [1000, 64], "embedding"],
  ["transformer.word_embeddings_layernorm.weight", [64], "norm"],
  ["transformer.h.0.mlp.dense_h_to_4h.weight", [256, 64], "linear"],
  // Mixtral, Qwen-MoE, DeepSeek, and others with experts
  ["model.layers.0.block_sparse_moe.gate.weight", [8, 64], "router"],
  ["model.layers.0.block_sparse_moe.experts.0.w1.weight", [128, 64], "linear"],
  ["model.layers.0.mlp.gate.weight", [60, 64], "router"],
  ["model.layers.0.mlp.gate.e_score_correction_bias", [60], "bias"],
  ["model.layers.0.mlp.shared_expert_gate.weight", [1, 64], "router"],
  ["model.layers.0.mlp.experts.3.gate_proj.weight", [128, 64], "linear"],
  ["model.layers.0.mlp.shared_experts.up_proj.weight", [128, 64], "linear"],
  ["model.layers.0.self_attn.kv_a_proj_with_mqa.weight", [80, 64], "linear"],
  ["model.layers.0.block_sparse_moe.router.layer.weight", [8, 64], "router"],
  ["model.layers.0.mlp.router.classifier.weight", [8, 64], "router"],
  ["model.layers.61.shared_head.head.weight", [1000, 64], "head"],
  ["model.layers.61.embed_tokens.weight", [1000, 64], "embedding"],
  ["model.layers.61.eh_proj.weight", [64, 128], "linear"],
  ["model.layers.0.mlp.experts.gate_up_proj_bias", [8, 256], "bias"],
  // T5
  ["shared.weight", [1000, 64], "embedding"],
  ["encoder.block.0.layer.0.SelfAttention.q.weight", [64, 64], "linear"],
  ["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", [32, 8], "bias"],
  // Mamba, RWKV
  ["backbone.embeddings.weight", [1000, 64], "embedding"],
  ["backbone.layers.0.mixer.conv1d.weight", [128, 1, 4], "conv"],
  ["backbone.layers.0.mixer.A_log", [128, 16], "other"],
  ["backbone.layers.0.mixer.D", [128], "other"],
  ["backbone.layers.0.mixer.in_proj.weight", [256, 64], "linear"],
  ["rwkv.blocks.0.attention.gate.weight", [64, 64], "linear"],
  ["rwkv.blocks.0.attention.time_mix_key", [1, 1, 64], "other"],
  // vision parts, classifiers, what is nothing
  ["vision_tower.patch_embed.proj.weight", [64, 3, 14, 14], "conv"],
  ["multi_modal_projector.linear_1.weight", [64, 64], "other"],
  ["score.weight", [2, 64], "head"],
  ["weight", [4, 4], "other"],
  ["fc1.weight", [4, 4], "other"],
  ["", [4, 4], "other"],
];

describe("describeTensor", () => {
  it.each(TENSORS)("%s %j is a %s", (name, shape, role) => {
    expect(describeTensor(name, shape, undefined).role).toBe(role);
  });

  it("tells the block and why a tensor is none of the known", () => {
    expect(describeTensor("model.layers.3.mlp.up_proj.weight", [8, 4], {})).toEqual({
      role: "linear",
      orientation: "out-in",
      experts3d: false,
      block: 3,
    });
    expect(describeTensor("fc1.weight", [4, 4], {}).why).toBe("it is outside the blocks");
    expect(describeTensor("layers.0.A_log", [4, 4], {}).why).toBe(
      "it is a parameter, not a layer's weight",
    );
  });
});

describe("orientation", () => {
  const of = (name: string, shape: number[], config?: object) =>
    describeTensor(name, shape, config && { ...config }).orientation;

  it("is inputs × outputs for the Conv1D layers of GPT-2's family", () => {
    const gpt2 = { model_type: "gpt2" };
    expect(of("h.0.attn.c_attn.weight", [64, 192], gpt2)).toBe("in-out");
    expect(of("h.0.attn.c_proj.weight", [64, 64], gpt2)).toBe("in-out");
    expect(of("h.0.mlp.c_fc.weight", [64, 256], { model_type: "imagegpt" })).toBe("in-out");
    expect(of("h.0.mlp.c_fc.weight", [64, 256], { model_type: "openai-gpt" })).toBe("in-out");
  });

  it("is outputs × inputs for layers of the same names elsewhere", () => {
    const star = { model_type: "gpt_bigcode" };
    expect(of("transformer.h.0.attn.c_attn.weight", [80, 64], star)).toBe("out-in");
    expect(of("transformer.h.0.attn.c_attn.weight", [192, 64], { model_type: "qwen" })).toBe(
      "out-in",
    );
    expect(of("transformer.h.0.mlp.c_fc.weight", [256, 64], star)).toBe("out-in");
    expect(of("transformer.h.0.attn.c_attn.weight", [192, 64])).toBe("out-in");
  });

  it("without config.json is what the shapes prove, for square matrices too", () => {
    const names: [string, number[]][] = [
      ["h.0.attn.c_attn.weight", [64, 192]],
      ["h.0.attn.c_proj.weight", [64, 64]],
      ["h.0.mlp.c_proj.weight", [256, 64]],
      ["h.0.mlp.other.weight", [64, 64]],
    ];
    const roles = describeTensors(
      names.map(([name, shape]) => ({ name, shape })),
      undefined,
    );
    expect(roles.map(({ orientation }) => orientation)).toEqual([
      "in-out",
      "in-out",
      "in-out",
      "out-in",
    ]);
    expect(of("h.0.attn.c_proj.weight", [64, 64])).toBe("out-in");
  });
});

describe("stacked experts", () => {
  const config = { model_type: "qwen3_moe", hidden_size: 64 };

  it.each<[string, number[], string]>([
    ["gate_up_proj", [8, 96, 64], "out-in"],
    ["down_proj", [8, 64, 48], "out-in"],
    ["gate_up_proj", [8, 64, 96], "in-out"],
    ["down_proj", [8, 48, 64], "in-out"],
  ])("%s %j is stored %s", (word, shape, orientation) => {
    expect(describeTensor(`model.layers.0.mlp.experts.${word}`, shape, config)).toEqual({
      role: "linear",
      orientation,
      experts3d: true,
      block: 0,
    });
  });

  it("whose output axis nothing tells are no linear layers", () => {
    for (const [shape, known] of [
      [[8, 64, 64], config],
      [[8, 96, 48], config],
      [[8, 96, 64], undefined],
    ] as const) {
      expect(describeTensor("model.layers.0.mlp.experts.down_proj", shape, known)).toMatchObject({
        role: "other",
        experts3d: true,
        why: "neither config.json nor its shape tells which axis is the output",
      });
    }
  });

  it("take the axes of their siblings where they are square", () => {
    const tensors = [
      { name: "model.layers.0.mlp.experts.gate_up_proj", shape: [8, 64, 128] },
      { name: "model.layers.0.mlp.experts.down_proj", shape: [8, 64, 64] },
    ];
    expect(describeTensors(tensors, { model_type: "gpt_oss", hidden_size: 64 })[1]).toEqual({
      role: "linear",
      orientation: "in-out",
      experts3d: true,
      block: 0,
    });
  });

  it("reads the hidden size of the text part of multimodal models", () => {
    const parts = { model_type: "llama4", text_config: { hidden_size: 64 } };
    const name = "language_model.model.layers.0.feed_forward.experts.gate_up_proj";
    expect(describeTensor(name, [4, 64, 96], parts).orientation).toBe("in-out");
  });

  it("are not taken for convolutions, nor the other way round", () => {
    expect(describeTensor("layers.0.conv1d.weight", [8, 1, 4], config).role).toBe("conv");
    expect(describeTensor("layers.0.mixer.weight3", [8, 96, 64], config).role).toBe("other");
  });
});
