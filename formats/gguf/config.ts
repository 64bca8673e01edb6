/** config.json and generation_config.json, from the metadata of a GGUF. */
import type { ModelConfig, SideFile } from "../../src/core/archive.ts";
import type { WeightDtype } from "../../src/core/dtype.ts";
import type { Architecture, ConfigSource } from "./architectures/defineArchitecture.ts";
import { jsonFile } from "./sideFile.ts";
import type { Vocabulary } from "./tokenizer/vocabulary.ts";

const TORCH_DTYPES: { readonly [Name in WeightDtype]: string } = {
  F16: "float16",
  BF16: "bfloat16",
  F32: "float32",
};

/**
 * What transformers would have written, with the older names of the rotary settings
 * (rope_theta, rope_scaling): every version reads those.
 */
export function modelConfig(
  architecture: Architecture,
  source: ConfigSource,
  vocabulary: Vocabulary | undefined,
  dtype: WeightDtype,
): ModelConfig {
  const { sizes, groups } = source;
  return {
    architectures: [architecture.modelClass],
    model_type: architecture.modelType,
    vocab_size: sizes.vocab,
    hidden_size: sizes.hidden,
    intermediate_size: sizes.ffn,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    max_position_embeddings: sizes.context,
    rms_norm_eps: sizes.normEpsilon,
    rope_theta: sizes.ropeTheta,
    ...architecture.config(source),
    tie_word_embeddings: !groups.has("output"),
    bos_token_id: vocabulary?.special.bos ?? null,
    eos_token_id: vocabulary?.special.eos ?? null,
    pad_token_id: vocabulary?.special.pad ?? null,
    use_cache: true,
    torch_dtype: TORCH_DTYPES[dtype],
  };
}

/** Where generation begins and stops; nothing when the file does not say. */
export function generationConfig(vocabulary: Vocabulary | undefined): readonly SideFile[] {
  const { bos, eos, pad } = vocabulary?.special ?? {};
  const ends = [...new Set([eos, ...(vocabulary?.turnEnds ?? [])])].filter(
    (id) => id !== undefined,
  );
  if (bos === undefined && ends.length === 0) return [];
  return [
    jsonFile("generation_config.json", {
      ...(bos === undefined ? {} : { bos_token_id: bos }),
      ...(ends.length === 0 ? {} : { eos_token_id: ends.length === 1 ? ends[0] : ends }),
      ...(pad === undefined ? {} : { pad_token_id: pad }),
    }),
  ];
}
