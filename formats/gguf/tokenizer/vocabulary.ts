/** The vocabulary of a GGUF: tokens with their kinds and scores, special tokens, flags. */
import type { Metadata } from "../metadata.ts";

/** Kinds of tokens that matter here (llama.h, llama_token_type). */
export const TOKEN_KIND = { unknown: 2, control: 3, userDefined: 4 } as const;

export interface SpecialTokens {
  readonly bos?: number;
  readonly eos?: number;
  readonly unk?: number;
  readonly pad?: number;
}

export interface Vocabulary {
  readonly tokens: readonly string[];
  /** One for each token, or undefined where the file has none. */
  readonly kinds: ArrayLike<number> | undefined;
  readonly special: SpecialTokens;
  /** Tokens that end a turn or a message of a chat, besides `special.eos`. */
  readonly turnEnds: readonly number[];
  readonly addBos: boolean | undefined;
  readonly addEos: boolean | undefined;
  readonly addSpacePrefix: boolean | undefined;
}

const KEY = "tokenizer.ggml";

/** Undefined when the file has no vocabulary. Throws E_GGUF_METADATA or E_GGUF_TYPE. */
export function vocabularyOf(metadata: Metadata): Vocabulary | undefined {
  const tokens = metadata.strings(`${KEY}.tokens`);
  if (tokens === undefined) return undefined;
  const kinds = metadata.integers(`${KEY}.token_type`);
  if (kinds !== undefined && kinds.length !== tokens.length) {
    throw metadata.wrong(
      `${KEY}.token_type`,
      `has ${kinds.length} values for ${tokens.length} tokens`,
    );
  }
  const id = (name: string): number | undefined => {
    const key = `${KEY}.${name}_token_id`;
    const value = metadata.count(key);
    // what some converters write for "none"
    if (value === undefined || value === 0xffff_ffff) return undefined;
    if (value >= tokens.length) {
      throw metadata.wrong(key, `is ${value}, but there are ${tokens.length} tokens`);
    }
    return value;
  };
  const given = Object.entries({
    bos: id("bos"),
    eos: id("eos"),
    unk: id("unknown"),
    pad: id("padding"),
  }).filter(([, value]) => value !== undefined);
  return {
    tokens,
    kinds,
    special: Object.fromEntries(given) as SpecialTokens,
    turnEnds: [id("eot"), id("eom")].filter((value) => value !== undefined),
    addBos: metadata.bool(`${KEY}.add_bos_token`),
    addEos: metadata.bool(`${KEY}.add_eos_token`),
    addSpacePrefix: metadata.bool(`${KEY}.add_space_prefix`),
  };
}

/** Scores of a SentencePiece vocabulary, one for each token. Throws E_GGUF_METADATA. */
export function scoresOf(metadata: Metadata, count: number): Float32Array {
  const key = `${KEY}.scores`;
  const scores = metadata.required(metadata.floats, key);
  if (scores.length !== count) {
    throw metadata.wrong(key, `has ${scores.length} values for ${count} tokens`);
  }
  if (scores.some((score) => Number.isNaN(score))) throw metadata.wrong(key, "holds NaN");
  return scores;
}
