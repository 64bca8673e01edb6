/** A Llama of two layers as a GGUF in memory, to be changed by a test. */
import type { ModelFiles } from "../../../src/core/byteSource.ts";
import { memorySource } from "../../../src/core/byteSource.ts";
import { SpInferError } from "../../../src/core/errors.ts";
import { ggufFile, type TestFile, type TestTensor, type TestValue } from "./ggufFile.ts";

export const u32 = (value: number): TestValue => ({ type: "u32", value });
export const f32 = (value: number): TestValue => ({ type: "f32", value });
export const text = (value: string): TestValue => ({ type: "string", value });
export const strings = (items: readonly string[]): TestValue => ({
  type: "array",
  of: "string",
  items,
});

export type Keys = Record<string, TestValue | undefined>;

const KEYS: Keys = {
  "general.architecture": text("llama"),
  "llama.block_count": u32(2),
  "llama.context_length": u32(128),
  "llama.embedding_length": u32(64),
  "llama.feed_forward_length": u32(96),
  "llama.attention.head_count": u32(4),
  "llama.attention.head_count_kv": u32(2),
  "llama.attention.layer_norm_rms_epsilon": f32(1e-5),
};

export const VOCABULARY: Keys = {
  "tokenizer.ggml.model": text("gpt2"),
  "tokenizer.ggml.pre": text("gpt-2"),
  "tokenizer.ggml.tokens": strings(["<|end|>", "a", "b", "c", "ab", "abc"]),
  "tokenizer.ggml.token_type": { type: "array", of: "i32", items: [3, 1, 1, 1, 1, 1] },
  "tokenizer.ggml.merges": strings(["a b", "ab c"]),
  "tokenizer.ggml.eos_token_id": u32(0),
};

const layer = (i: number): TestTensor[] => [
  { name: `blk.${i}.attn_norm.weight`, dims: [64], type: "F32" },
  { name: `blk.${i}.attn_q.weight`, dims: [64, 64], type: "Q8_0" },
  { name: `blk.${i}.attn_k.weight`, dims: [64, 32], type: "Q8_0" },
  { name: `blk.${i}.attn_v.weight`, dims: [64, 32], type: "Q8_0" },
  { name: `blk.${i}.attn_output.weight`, dims: [64, 64], type: "Q8_0" },
  { name: `blk.${i}.ffn_norm.weight`, dims: [64], type: "F32" },
  { name: `blk.${i}.ffn_gate.weight`, dims: [64, 96], type: "Q4_1" },
  { name: `blk.${i}.ffn_up.weight`, dims: [64, 96], type: "Q4_1" },
  { name: `blk.${i}.ffn_down.weight`, dims: [96, 64], type: "Q4_1" },
];

export const TENSORS: readonly TestTensor[] = [
  { name: "token_embd.weight", dims: [64, 8], type: "F16" },
  ...layer(0),
  ...layer(1),
  { name: "output_norm.weight", dims: [64], type: "F32" },
];

/** Keys set to undefined are left out. */
export function tinyModel(
  keys: Keys = {},
  tensors: readonly TestTensor[] = TENSORS,
  more: Partial<TestFile> = {},
): Uint8Array {
  const all = Object.entries({ ...KEYS, ...VOCABULARY, ...keys });
  const given = all.filter((entry): entry is [string, TestValue] => entry[1] !== undefined);
  return ggufFile({ keys: given, tensors, ...more });
}

/** A folder in memory; `single` names the one file that the user asked for. */
export function memoryFiles(contents: Record<string, Uint8Array>, single?: string): ModelFiles {
  const names = single === undefined ? Object.keys(contents).sort() : [single];
  return {
    label: single === undefined ? "models" : `models/${single}`,
    single: single !== undefined,
    names,
    has: (name) => names.includes(name),
    open: async (name) => {
      const bytes = contents[name];
      if (bytes === undefined) throw new SpInferError("E_SHARD_MISSING", `${name}: no such file`);
      return memorySource(bytes, `models/${name}`);
    },
  };
}
