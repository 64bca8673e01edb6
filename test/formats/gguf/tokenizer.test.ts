/** What needs no tokenizers library; token ids are compared in models.test.ts. */
import { describe, expect, it } from "vitest";
import { gguf } from "../../../formats/gguf/format.ts";
import { impliedMerges } from "../../../formats/gguf/tokenizer/merges.ts";
import type { Archive } from "../../../src/core/archive.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { type Keys, memoryFiles, strings, text, tinyModel, u32 } from "./tinyModel.ts";

const open = (keys: Keys): Promise<Archive> =>
  gguf.open(memoryFiles({ "model.gguf": tinyModel(keys) }), { limits: DEFAULT_LIMITS });

// biome-ignore lint/suspicious/noExplicitAny: JSON of a test
function json({ sideFiles }: Archive, name: string): any {
  const content = sideFiles.find((file) => file.name === name)?.content;
  if (content?.from !== "bytes") throw new Error(`${name} was not made`);
  return JSON.parse(new TextDecoder().decode(content.bytes));
}

const names = ({ sideFiles }: Archive) => sideFiles.map(({ name }) => name);

const SENTENCE_PIECE: Keys = {
  "tokenizer.ggml.model": text("llama"),
  "tokenizer.ggml.tokens": strings(["<unk>", "<s>", "</s>", "▁", "a", "▁a"]),
  "tokenizer.ggml.token_type": { type: "array", of: "i32", items: [2, 3, 3, 1, 1, 1] },
  "tokenizer.ggml.scores": { type: "array", of: "f32", items: [0, 0, 0, -2, -3, -1] },
  "tokenizer.ggml.merges": undefined,
  "tokenizer.ggml.bos_token_id": u32(1),
  "tokenizer.ggml.eos_token_id": u32(2),
  "tokenizer.ggml.unknown_token_id": u32(0),
};

describe("tokenizer files", () => {
  it("are made with the special tokens, and where generation ends", async () => {
    const archive = await open({
      "tokenizer.chat_template": text("{{ messages }}"),
      "tokenizer.ggml.bos_token_id": u32(0),
      "tokenizer.ggml.padding_token_id": u32(1),
      "tokenizer.ggml.eot_token_id": u32(2),
    });
    expect(archive.warnings).toEqual([]);
    expect(names(archive)).toEqual([
      "tokenizer.json",
      "tokenizer_config.json",
      "special_tokens_map.json",
      "generation_config.json",
    ]);
    expect(json(archive, "tokenizer_config.json")).toMatchObject({
      bos_token: "<|end|>",
      eos_token: "<|end|>",
      pad_token: "a",
      add_bos_token: false,
      model_max_length: 128,
      tokenizer_class: "PreTrainedTokenizerFast",
      chat_template: "{{ messages }}",
    });
    expect(json(archive, "generation_config.json")).toEqual({
      bos_token_id: 0,
      eos_token_id: [0, 2],
      pad_token_id: 1,
    });
    const { model, added_tokens } = json(archive, "tokenizer.json");
    expect(model.vocab).toEqual({ "<|end|>": 0, a: 1, b: 2, c: 3, ab: 4, abc: 5 });
    expect(model.merges).toEqual([
      ["a", "b"],
      ["ab", "c"],
    ]);
    expect(added_tokens.map((token: { content: string }) => token.content)).toEqual([
      "<|end|>",
      "a",
    ]);
  });

  it("carry named chat templates beside the default one", async () => {
    const archive = await open({
      "tokenizer.chat_template": text("one"),
      "tokenizer.chat_templates": strings(["tool_use"]),
      "tokenizer.chat_template.tool_use": text("two"),
    });
    expect(json(archive, "tokenizer_config.json").chat_template).toEqual([
      { name: "default", template: "one" },
      { name: "tool_use", template: "two" },
    ]);
  });

  it("are not made for a pre-tokenizer that is not known: never a guess", async () => {
    const archive = await open({ "tokenizer.ggml.pre": text("mystery") });
    expect(archive.warnings).toHaveLength(1);
    expect(archive.warnings[0]).toContain('the pre-tokenizer "mystery" is not known');
    expect(names(archive)).toEqual(["generation_config.json"]);
  });

  it.each<[string, Keys, string]>([
    ["another kind", { "tokenizer.ggml.model": text("rwkv") }, 'of the kind "rwkv"'],
    ["no kind", { "tokenizer.ggml.model": undefined }, "the file has no tokenizer"],
    ["no tokens", { "tokenizer.ggml.tokens": undefined }, "the file has no tokenizer"],
  ])("are not made for a tokenizer of %s", async (_, keys, reason) => {
    const archive = await open(keys);
    expect(archive.warnings).toEqual([expect.stringContaining(reason)]);
    expect(names(archive)).not.toContain("tokenizer.json");
  });

  it.each(["default", undefined])("say that the cut of GPT-2 was assumed for %s", async (pre) => {
    const archive = await open({ "tokenizer.ggml.pre": pre === undefined ? undefined : text(pre) });
    expect(archive.warnings).toEqual([expect.stringContaining("that of GPT-2 was taken")]);
    expect(json(archive, "tokenizer.json").pre_tokenizer).toMatchObject({ use_regex: true });
  });

  it.each([
    [
      "smollm",
      { pretokenizers: [{ type: "Digits", individual_digits: true }, { use_regex: true }] },
    ],
    [
      "llama-bpe",
      { pretokenizers: [{ type: "Split", behavior: "Isolated" }, { use_regex: false }] },
    ],
  ])("cut texts as %s asks for", async (pre, expected) => {
    const archive = await open({ "tokenizer.ggml.pre": text(pre) });
    expect(json(archive, "tokenizer.json").pre_tokenizer).toMatchObject(expected);
  });

  it("keep tokens that are keys of every object, and numbers, in their places", async () => {
    const archive = await open({
      "tokenizer.ggml.tokens": strings(["7", "__proto__", "1", "b", "toString", '"\\']),
      "tokenizer.ggml.token_type": undefined,
      "tokenizer.ggml.merges": strings([]),
    });
    const { vocab } = json(archive, "tokenizer.json").model;
    const found = Object.entries(vocab).sort(([, a], [, b]) => Number(a) - Number(b));
    expect(found.map(([token]) => token)).toEqual(["7", "__proto__", "1", "b", "toString", '"\\']);
  });

  it("say so when tokens are there twice", async () => {
    const archive = await open({
      "tokenizer.ggml.tokens": strings(["a", "b", "a", "ab", "c", "d"]),
      "tokenizer.ggml.token_type": { type: "array", of: "i32", items: [3, 1, 3, 1, 1, 1] },
      "tokenizer.ggml.merges": strings(["a b"]),
    });
    expect(archive.warnings).toEqual(["1 tokens are there twice; the last of each is kept"]);
    const { model, added_tokens } = json(archive, "tokenizer.json");
    expect(model.vocab).toMatchObject({ a: 2, b: 1 });
    expect(added_tokens).toMatchObject([{ id: 2, content: "a" }]);
  });

  it("of SentencePiece get merges from scores, and BOS around texts", async () => {
    const archive = await open(SENTENCE_PIECE);
    const tokenizer = json(archive, "tokenizer.json");
    expect(tokenizer.model).toMatchObject({
      unk_token: "<unk>",
      byte_fallback: true,
      merges: [["▁", "a"]],
    });
    expect(tokenizer.pre_tokenizer).toMatchObject({ type: "Metaspace", prepend_scheme: "first" });
    expect(tokenizer.post_processor.single).toEqual([
      { SpecialToken: { id: "<s>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
    ]);
    const without = await open({
      ...SENTENCE_PIECE,
      "tokenizer.ggml.add_bos_token": { type: "bool", value: false },
      "tokenizer.ggml.add_space_prefix": { type: "bool", value: false },
    });
    expect(json(without, "tokenizer.json")).toMatchObject({
      post_processor: null,
      pre_tokenizer: { prepend_scheme: "never" },
    });
  });

  it("GG-12 are refused with scores of another type, number or NaN", async () => {
    const scores = (of: string, items: number[]) =>
      open({ ...SENTENCE_PIECE, "tokenizer.ggml.scores": { type: "array", of, items } });
    const bytes = scores("u8", [0, 0, 0, 1, 2, 3]);
    await expect(bytes).rejects.toMatchObject({ code: "E_GGUF_TYPE" });
    await expect(bytes).rejects.toThrow("array of u8, expected an array of f32");
    await expect(scores("f32", [1, 2])).rejects.toThrow("has 2 values for 6 tokens");
    await expect(scores("f32", [0, 0, 0, 1, 2, Number.NaN])).rejects.toThrow("holds NaN");
  });
});

describe("impliedMerges", () => {
  const merges = (tokens: string[], priority: (id: number) => number) =>
    impliedMerges(new Map(tokens.map((token, id) => [token, id])), priority).map(
      ([left, right]) => `${left}+${right}`,
    );

  it("puts the highest priority first, then the longer left part", () => {
    const tokens = ["a", "b", "c", "ab", "bc", "abc"];
    expect(merges(tokens, (id) => id)).toEqual(["ab+c", "a+bc", "b+c", "a+b"]);
    expect(merges(tokens, (id) => -id)).toEqual(["a+b", "b+c", "ab+c", "a+bc"]);
  });

  it("cuts between characters, not inside them", () => {
    expect(merges(["😀", "😁", "😀😁"], (id) => id)).toEqual(["😀+😁"]);
  });

  it("leaves runs alone that are longer than any merge makes", () => {
    expect(merges(["a", "a".repeat(2000), "a".repeat(1999)], (id) => id)).toEqual([]);
  });
});
