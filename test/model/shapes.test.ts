import { describe, expect, it } from "vitest";
import { checkConfigShapes } from "../../src/model/index.ts";
import { describePython, runPython } from "../helpers/python.ts";

const LLAMA = {
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  num_hidden_layers: 2,
  vocab_size: 100,
};

const llama = () => [
  { name: "model.embed_tokens.weight", shape: [100, 64] },
  { name: "model.norm.weight", shape: [64] },
  { name: "lm_head.weight", shape: [100, 64] },
  ...[0, 1].flatMap((block) => [
    { name: `model.layers.${block}.self_attn.q_proj.weight`, shape: [64, 64] },
    { name: `model.layers.${block}.self_attn.k_proj.weight`, shape: [16, 64] },
    { name: `model.layers.${block}.self_attn.o_proj.weight`, shape: [64, 64] },
    { name: `model.layers.${block}.mlp.up_proj.weight`, shape: [96, 64] },
    { name: `model.layers.${block}.mlp.down_proj.weight`, shape: [64, 96] },
  ]),
];

const GPT2 = {
  model_type: "gpt2",
  n_embd: 64,
  n_head: 4,
  n_layer: 1,
  n_inner: null,
  vocab_size: 100,
};
const gpt2 = [
  { name: "wte.weight", shape: [100, 64] },
  { name: "h.0.attn.c_attn.weight", shape: [64, 192] },
  { name: "h.0.attn.c_proj.weight", shape: [64, 64] },
  { name: "h.0.mlp.c_fc.weight", shape: [64, 256] },
  { name: "h.0.mlp.c_proj.weight", shape: [256, 64] },
];

describe("checkConfigShapes", () => {
  it("SH-12 accepts what belongs together", () => {
    checkConfigShapes(LLAMA, llama());
    checkConfigShapes(GPT2, gpt2);
  });

  it.each([
    ["hidden_size", 32, "model.embed_tokens.weight has 64 columns, expected 32"],
    ["vocab_size", 101, "model.embed_tokens.weight has 100 rows, expected 101"],
    ["intermediate_size", 128, "model.layers.0.mlp.up_proj.weight has 96 rows, expected 128"],
    ["num_key_value_heads", 8, "model.layers.0.self_attn.k_proj.weight has 16 rows, expected 64"],
    ["head_dim", 16, "model.layers.0.self_attn.q_proj.weight has 64 rows, expected 128"],
    ["num_hidden_layers", 3, "the checkpoint has 2 blocks, expected 3"],
  ])("SH-12 finds another %s", (key, value, sentence) => {
    expect(() => checkConfigShapes({ ...LLAMA, [key]: value }, llama())).toThrow(
      expect.objectContaining({
        code: "E_ARCH_SHAPE",
        message: `config.json: ${sentence}`,
        detail: expect.objectContaining({ expected: expect.stringContaining(String(value)) }),
      }),
    );
  });

  it("SH-12 finds a transposed matrix of GPT-2", () => {
    const transposed = gpt2.map(({ name, shape }) => ({ name, shape: shape.toReversed() }));
    expect(() => checkConfigShapes(GPT2, transposed.slice(1))).toThrow(
      "config.json: h.0.attn.c_attn.weight has 192 rows, expected 64",
    );
  });

  it("SH-12 looks at the first block and at what is outside the blocks only", () => {
    const odd = llama().map((tensor) =>
      tensor.name.includes("layers.1.mlp") ? { ...tensor, shape: [7, 7] } : tensor,
    );
    checkConfigShapes(LLAMA, odd);
  });

  it.each([
    ["an unknown family", { ...LLAMA, model_type: "other", hidden_size: 7 }],
    ["a family named like a property", { ...LLAMA, model_type: "constructor" }],
    ["no family", { hidden_size: 7 }],
    ["no sizes", { model_type: "llama" }],
    ["sizes that are no numbers", { model_type: "llama", hidden_size: "64", vocab_size: -1 }],
    ["more blocks than it needs", { ...LLAMA, num_hidden_layers: 1 }],
    ["no config.json", undefined],
  ])("SH-12 says nothing about %s", (_, config) => {
    checkConfigShapes(config, llama());
  });

  it("SH-12 leaves Gemma and Qwen3 alone where the size of a head is not told", () => {
    for (const model_type of ["gemma", "qwen3"]) {
      const wide = llama().map(({ name, shape }) =>
        /[qko]_proj/.test(name)
          ? { name, shape: shape.map((size) => (size === 64 ? 64 : 128)) }
          : { name, shape },
      );
      checkConfigShapes({ ...LLAMA, model_type, num_key_value_heads: undefined }, wide);
    }
  });
});

const SCRIPT = `
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, CONFIG_MAPPING
transformers.logging.set_verbosity_error()
found = {}
for name in json.load(sys.stdin):
    config = CONFIG_MAPPING[name]()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    found[name] = {
        "config": json.loads(config.to_json_string(use_diff=False)),
        "short": json.loads(config.to_json_string(use_diff=True)),
        "entries": [{"name": key, "shape": list(value.shape)} for key, value in model.state_dict().items()],
    }
json.dump(found, sys.stdout)
`;

describePython("config.json beside the models of transformers", () => {
  it("SH-12 accepts every known family with its default and with its shortest config", () => {
    const types = [
      "llama",
      "mistral",
      "mixtral",
      "qwen2",
      "qwen3",
      "gemma",
      "gemma2",
      "phi",
      "phi3",
      "starcoder2",
      "olmo",
      "olmo2",
      "granite",
      "stablelm",
      "gpt2",
      "gpt_neox",
      "opt",
    ];
    const output = runPython(SCRIPT, [], { input: JSON.stringify(types) });
    const models = JSON.parse(output.toString("utf8")) as Record<
      string,
      Record<"config" | "short", Record<string, unknown>> & {
        entries: { name: string; shape: number[] }[];
      }
    >;
    expect(Object.keys(models)).toEqual(types);
    for (const { config, short, entries } of Object.values(models)) {
      checkConfigShapes(config, entries);
      checkConfigShapes(short, entries);
      const key = "n_embd" in config ? "n_embd" : "hidden_size";
      expect(() => checkConfigShapes({ ...config, [key]: 24 }, entries)).toThrow(
        expect.objectContaining({ code: "E_ARCH_SHAPE" }),
      );
    }
  }, 240_000);
});
