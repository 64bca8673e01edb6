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

/** Settings that transformers takes as binary64 only: it refuses 30 where 30.0 is meant. */
const FLOATS: ReadonlySet<string> = new Set([
  "rms_norm_eps",
  "rope_theta",
  "rope_local_base_freq",
  "attn_logit_softcapping",
  "final_logit_softcapping",
  "partial_rotary_factor",
  "factor",
  "low_freq_factor",
  "high_freq_factor",
  "beta_fast",
  "beta_slow",
  "long_factor",
  "short_factor",
]);

/** The text of config.json, with floating-point settings written as such. */
export function configText(config: ModelConfig): string {
  // JSON.stringify cannot write 30.0, so such numbers go through it as marked texts
  const float = (value: unknown) => (Number.isInteger(value) ? `float:${value}.0` : value);
  const text = JSON.stringify(
    config,
    (key, value) => {
      if (!FLOATS.has(key)) return value;
      return Array.isArray(value) ? value.map(float) : float(value);
    },
    2,
  );
  return `${text.replace(/"float:(-?\d+\.0)"/g, "$1")}\n`;
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
