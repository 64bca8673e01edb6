import { describe, expect, it } from "vitest";
import { gguf } from "../../../formats/gguf/format.ts";
import type { Archive } from "../../../src/core/archive.ts";
import type { WeightDtype } from "../../../src/core/dtype.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import type { TestTensor } from "./ggufFile.ts";
import {
  f32,
  type Keys,
  memoryFiles,
  strings,
  TENSORS,
  text,
  tinyModel,
  u32,
} from "./tinyModel.ts";

const open = (bytes: Uint8Array, dtype?: WeightDtype): Promise<Archive> =>
  gguf.open(memoryFiles({ "model.gguf": bytes }), { limits: DEFAULT_LIMITS, dtype });

const entryOf = ({ entries }: Archive, name: string) =>
  entries.find((entry) => entry.name === name)!;

/** The tensors with one of them changed, or left out. */
const changed = (name: string, change: Partial<TestTensor> | undefined): TestTensor[] =>
  TENSORS.flatMap((tensor) => {
    if (tensor.name !== name) return [tensor];
    return change === undefined ? [] : [{ ...tensor, ...change }];
  });

describe("gguf.open", () => {
  it("gives the names and shapes of a Hugging Face folder, and where the bytes are", async () => {
    const archive = await open(tinyModel());
    expect(archive.format).toBe("gguf");
    expect(archive.entries).toHaveLength(TENSORS.length);
    expect(entryOf(archive, "model.layers.1.mlp.down_proj.weight")).toMatchObject({
      shape: [64, 96],
      dtype: "F16",
      stored: "Q4_1",
      encoding: { format: "gguf", type: "Q4_1" },
    });
    expect(entryOf(archive, "model.layers.0.self_attn.q_proj.weight").encoding).toEqual({
      format: "gguf",
      type: "Q8_0",
      permuteHeads: 4,
    });
    expect(entryOf(archive, "model.layers.0.self_attn.k_proj.weight").encoding).toEqual({
      format: "gguf",
      type: "Q8_0",
      permuteHeads: 2,
    });
    const { extents } = entryOf(archive, "model.layers.0.self_attn.q_proj.weight");
    expect(extents).toHaveLength(1);
    expect(extents[0]!.end - extents[0]!.begin).toBe((64 * 64 * 34) / 32);
    expect(archive.tensorFiles).toEqual([{ name: "model.gguf", bytes: tinyModel().length }]);
    // plain data: it crosses to worker threads
    expect(structuredClone(archive.entries)).toEqual(archive.entries);
  });

  it("writes a config that says what the metadata says", async () => {
    const { config, configText } = await open(tinyModel({ "llama.rope.freq_base": f32(500_000) }));
    expect(config).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 8,
      hidden_size: 64,
      intermediate_size: 96,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 16,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      rope_scaling: null,
      attention_bias: false,
      tie_word_embeddings: true,
      bos_token_id: null,
      eos_token_id: 0,
      torch_dtype: "float16",
    });
    expect(JSON.parse(configText!)).toEqual(config);
    expect(configText).toContain('"rope_theta": 500000.0,');
  });

  it("does not tie the output where the file has one", async () => {
    const output = { name: "output.weight", dims: [64, 8], type: "F16" } as const;
    const archive = await open(tinyModel({}, [...TENSORS, output]));
    expect(archive.config).toMatchObject({ tie_word_embeddings: false });
    expect(entryOf(archive, "lm_head.weight").shape).toEqual([8, 64]);
  });

  it.each([
    ["Q8_0", "F16"],
    ["F16", "F16"],
    ["BF16", "BF16"],
    ["F32", "F16"],
  ] as const)(
    "takes for matrices of %s the dtype %s, unless another is asked for",
    async (type, dtype) => {
      const tensors = TENSORS.map((tensor) =>
        tensor.dims.length > 1 ? { ...tensor, type } : tensor,
      );
      const own = await open(tinyModel({}, tensors));
      expect(new Set(own.entries.map((entry) => entry.dtype))).toEqual(new Set([dtype]));
      const asked = await open(tinyModel({}, tensors), "F32");
      expect(new Set(asked.entries.map((entry) => entry.dtype))).toEqual(new Set(["F32"]));
      expect(asked.config).toMatchObject({ torch_dtype: "float32" });
    },
  );

  it("takes fp16 where only some of the matrices are BF16", async () => {
    const tensors = changed("blk.0.attn_v.weight", { type: "BF16" });
    expect((await open(tinyModel({}, tensors))).entries[0]!.dtype).toBe("F16");
  });

  it("refuses an architecture that it does not know, and lists those it knows", async () => {
    const opening = open(tinyModel({ "general.architecture": text("mamba") }));
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_ARCH", exit: 9 });
    await expect(opening).rejects.toThrow('models: there is no GGUF architecture "mamba"');
    await expect(opening).rejects.toMatchObject({
      detail: { expected: "llama, qwen2, qwen3, gemma, gemma2, gemma3, phi3" },
    });
  });

  it.each([
    ["a mixture of experts", { "llama.expert_count": u32(8) }, "it is a mixture of experts"],
    ["a scale that Llama has not", { "llama.logit_scale": f32(2) }, 'it has "llama.logit_scale"'],
  ])("refuses %s", async (_, keys, reason) => {
    const opening = open(tinyModel(keys));
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_ARCH" });
    await expect(opening).rejects.toThrow(reason);
  });

  const q = "blk.1.attn_q.weight";
  const bias = { name: "blk.0.attn_q.bias", dims: [64], type: "F32" } as const;
  it.each([
    ["missing", changed(q, undefined), `"${q}" is missing`],
    [
      "unknown",
      [...TENSORS, { ...TENSORS[1]!, name: "blk.0.extra.weight" }],
      '"blk.0.extra.weight" is not',
    ],
    [
      "of a layer too many",
      [...TENSORS, { ...TENSORS[1]!, name: "blk.2.attn_norm.weight" }],
      '"blk.2.attn',
    ],
    [
      "of an odd layer",
      [...TENSORS, { ...TENSORS[1]!, name: "blk.01.attn_norm.weight" }],
      '"blk.01.attn',
    ],
    ["of another shape", changed(q, { dims: [64, 32] }), "has the shape [32, 64]"],
    ["transposed", changed("blk.0.ffn_up.weight", { dims: [96, 64] }), "has the shape [64, 96]"],
    ["of another rank", changed("output_norm.weight", { dims: [64, 1] }), "has the shape [1, 64]"],
    ["the only bias", [...TENSORS, bias], '"blk.1.attn_q.bias" is missing'],
  ])("refuses a tensor that is %s", async (_, tensors, reason) => {
    const opening = open(tinyModel({}, tensors));
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_TENSOR" });
    await expect(opening).rejects.toThrow(reason);
  });

  it.each<[string, Keys, string]>([
    ["no architecture", { "general.architecture": undefined }, '"general.architecture" is missing'],
    ["no count of layers", { "llama.block_count": undefined }, '"llama.block_count" is missing'],
    [
      "more layers than tensors",
      { "llama.block_count": u32(2 ** 31 - 1) },
      "the file has 20 tensors",
    ],
    ["no heads", { "llama.attention.head_count": u32(0) }, '"llama.attention.head_count" is 0'],
    ["heads that do not divide", { "llama.attention.head_count": u32(7) }, "gives heads of 9.14"],
    ["other sizes of k and v", { "llama.attention.value_length": u32(8) }, "is 8, expected 16"],
    ["heads that are rotated in part", { "llama.rope.dimension_count": u32(8) }, "is 8 of 16"],
    [
      "a token id beyond the tokens",
      { "tokenizer.ggml.eos_token_id": u32(6) },
      "there are 6 tokens",
    ],
    [
      "more tokens than embeddings",
      {
        "tokenizer.ggml.tokens": strings([..."abcdefghij"]),
        "tokenizer.ggml.token_type": undefined,
        "tokenizer.ggml.merges": strings([]),
      },
      "has 10 tokens for 8 embeddings",
    ],
    [
      "a merge of unknown pieces",
      { "tokenizer.ggml.merges": strings(["a b", "a z"]) },
      "has at 1 a merge",
    ],
    [
      "kinds for some tokens only",
      { "tokenizer.ggml.token_type": { type: "array", of: "i32", items: [1] } },
      "has 1 values for 6 tokens",
    ],
    [
      "a rotary scaling of another kind",
      { "llama.rope.scaling.type": text("other"), "llama.rope.scaling.factor": f32(2) },
      'is "other"',
    ],
  ])("refuses metadata with %s", async (_, keys, reason) => {
    const opening = open(tinyModel(keys));
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_METADATA" });
    await expect(opening).rejects.toThrow(reason);
  });

  it.each<[string, Keys]>([
    [
      "heads that are an array",
      { "llama.attention.head_count": { type: "array", of: "u32", items: [4, 2] } },
    ],
    ["a count that is a text", { "llama.context_length": text("128") }],
    [
      "tokens that are numbers",
      { "tokenizer.ggml.tokens": { type: "array", of: "u8", items: [1, 2] } },
    ],
    [
      "kinds that are u8",
      { "tokenizer.ggml.token_type": { type: "array", of: "u8", items: [3, 1, 1, 1, 1, 1] } },
    ],
  ])("GG-12 refuses %s", async (_, keys) => {
    await expect(open(tinyModel(keys))).rejects.toMatchObject({ code: "E_GGUF_TYPE" });
  });

  it("refuses a tensor whose dense size is over the limit", async () => {
    const limits = { ...DEFAULT_LIMITS, denseBytes: 64 * 64 * 2 };
    const opening = gguf.open(memoryFiles({ "model.gguf": tinyModel() }), { limits });
    await expect(opening).rejects.toMatchObject({ code: "E_LIMIT_DENSE" });
    await expect(opening).rejects.toThrow('"blk.0.ffn_gate.weight" takes 12288 bytes as F16');
  });
});

describe("gguf.open of a split model", () => {
  const third = Math.ceil(TENSORS.length / 3);
  const part = (index: number, keys: Keys = {}) =>
    tinyModel(
      {
        "split.no": { type: "u16", value: index },
        "split.count": { type: "u16", value: 3 },
        ...keys,
      },
      TENSORS.slice(index * third, (index + 1) * third),
    );
  const name = (index: number) => `tiny-0000${index + 1}-of-00003.gguf`;
  const all = { [name(0)]: part(0), [name(1)]: part(1), [name(2)]: part(2) };
  const without = (...indexes: number[]) =>
    Object.fromEntries(
      Object.entries(all).filter(([, bytes]) => !indexes.some((i) => bytes === all[name(i)])),
    );
  const options = { limits: DEFAULT_LIMITS };

  it("GG-13 reads all parts, from the folder or from the name of any part", async () => {
    const whole = await open(tinyModel());
    for (const files of [memoryFiles(all), memoryFiles(all, name(0)), memoryFiles(all, name(2))]) {
      const archive = await gguf.open(files, options);
      expect(archive.entries.map((entry) => entry.name)).toEqual(
        whole.entries.map((entry) => entry.name),
      );
      expect(archive.tensorFiles.map((file) => file.name)).toEqual([name(0), name(1), name(2)]);
      expect(archive.entries.at(-1)!.extents[0]!.file).toBe(name(2));
    }
  });

  it("GG-13 lists the parts that are missing", async () => {
    for (const files of [memoryFiles(without(1, 2)), memoryFiles(without(1, 2), name(0))]) {
      const opening = gguf.open(files, options);
      await expect(opening).rejects.toMatchObject({ code: "E_GGUF_SPLIT", exit: 3 });
      await expect(opening).rejects.toThrow(`2 of 3 parts are missing: ${name(1)}, ${name(2)}`);
    }
  });

  it("GG-13 refuses parts that are not what their names say", async () => {
    const swapped = { ...all, [name(1)]: part(2), [name(2)]: part(1) };
    const opening = gguf.open(memoryFiles(swapped), options);
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_SPLIT" });
    await expect(opening).rejects.toThrow(`models/${name(1)}: the file is part 3 of 3`);
    const renamed = gguf.open(memoryFiles({ "model.gguf": part(0) }), options);
    await expect(renamed).rejects.toMatchObject({ code: "E_GGUF_SPLIT" });
  });

  it("GG-13 refuses another number of tensors than the first part states", async () => {
    const stated = {
      ...all,
      [name(0)]: part(0, { "split.tensors.count": { type: "i32", value: 21 } }),
    };
    const opening = gguf.open(memoryFiles(stated), options);
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_SPLIT" });
    await expect(opening).rejects.toThrow("the parts hold 20 of 21 tensors");
  });

  it("GG-04 refuses a tensor that is in two parts", async () => {
    const twice = {
      ...all,
      [name(1)]: tinyModel({ "split.no": u32(1), "split.count": u32(3) }, TENSORS.slice(0, 3)),
    };
    const opening = gguf.open(memoryFiles(twice), options);
    await expect(opening).rejects.toMatchObject({ code: "E_GGUF_DUP" });
    await expect(opening).rejects.toThrow('"token_embd.weight" is in an earlier part too');
  });

  it("asks which one when a folder holds several models", async () => {
    const opening = gguf.open(
      memoryFiles({ "a.gguf": tinyModel(), "b.gguf": tinyModel() }),
      options,
    );
    await expect(opening).rejects.toMatchObject({ code: "E_MODEL_UNRECOGNISED" });
    await expect(opening).rejects.toThrow("the folder holds 2 GGUF models: a.gguf, b.gguf");
  });

  it("bounds the number of parts that a name claims", async () => {
    const claim = { "a-00001-of-99999.gguf": tinyModel() };
    const opening = gguf.open(memoryFiles(claim), options);
    await expect(opening).rejects.toMatchObject({ code: "E_LIMIT_SHARDS" });
  });
});

describe("gguf.sniff", () => {
  it.each([
    [
      "a folder with a GGUF",
      memoryFiles({ "README.md": new Uint8Array(3), "a.gguf": tinyModel() }),
      true,
    ],
    ["a folder without", memoryFiles({ "model.safetensors": new Uint8Array(8) }), false],
    [
      "a file of that name, whatever it holds",
      memoryFiles({ "a.GGUF": new Uint8Array(0) }, "a.GGUF"),
      true,
    ],
    ["a file of another name that is one", memoryFiles({ blob: tinyModel() }, "blob"), true],
    [
      "a file of another name that is none",
      memoryFiles({ blob: new Uint8Array(64) }, "blob"),
      false,
    ],
    ["a short file", memoryFiles({ blob: new Uint8Array(3) }, "blob"), false],
  ])("sees %s", async (_, files, expected) => {
    expect(await gguf.sniff(files)).toBe(expected);
  });

  it("opens a file of another name", async () => {
    const archive = await gguf.open(memoryFiles({ blob: tinyModel() }, "blob"), {
      limits: DEFAULT_LIMITS,
    });
    expect(archive.label).toBe("models/blob");
  });
});
