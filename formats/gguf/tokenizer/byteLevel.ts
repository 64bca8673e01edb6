/**
 * "gpt2" vocabularies: byte-level BPE. How a text is cut before the merges is not in the file but
 * behind a name, `tokenizer.ggml.pre`; these are the names that are known here, with the patterns
 * of the models that they stand for. Another name makes no tokenizer: a wrong cut would give
 * other tokens without anyone noticing.
 */
import type { Metadata } from "../metadata.ts";
import type { Json, TokenizerParts } from "./json.ts";
import { mergesOf } from "./merges.ts";
import type { Vocabulary } from "./vocabulary.ts";

interface Cut {
  /** Regular expression of the pieces; without one, that of GPT-2. */
  readonly pattern?: string;
  /** Each digit is a piece. */
  readonly digits?: true;
  /** A piece that is a token is taken whole, whatever the merges say. */
  readonly ignoreMerges?: true;
  /** Texts begin with the BOS token unless the file says otherwise. */
  readonly addBos?: true;
  readonly normalizer?: "NFC";
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const UPPER = "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}";
const LOWER = "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}";

/** Words by case, as GPT-4o and Tekken have them. */
const cased = (suffix: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]*[${LOWER}]+${suffix}|[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]+[${LOWER}]*${suffix}`;
const CASED_REST = REST.replace("[\\r\\n]*", "[\\r\\n/]*");

const GPT2: Cut = {};
const LLAMA3: Cut = {
  pattern: `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${REST}`,
  ignoreMerges: true,
  addBos: true,
};
const QWEN2: Cut = {
  pattern: `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${REST}`,
  normalizer: "NFC",
};

const CUTS: ReadonlyMap<string, Cut> = new Map([
  ["gpt-2", GPT2],
  ["default", GPT2],
  ["smollm", { digits: true }],
  ["llama-bpe", LLAMA3],
  ["llama3", LLAMA3],
  ["llama-v3", LLAMA3],
  ["qwen2", QWEN2],
  ["deepseek-r1-qwen", QWEN2],
  ["tekken", { pattern: `${cased("")}|\\p{N}|${CASED_REST}`, ignoreMerges: true, addBos: true }],
  ["gpt-4o", { pattern: `${cased(`${CONTRACTIONS}?`)}|\\p{N}{1,3}|${CASED_REST}` }],
]);

/** The name of the cut of a file that has none: what llama.cpp assumes. */
const ASSUMED = "default";

export interface ByteLevel {
  /** Undefined when the file names a cut that is not known. */
  readonly parts: TokenizerParts | undefined;
  readonly warnings: readonly string[];
}

/** Throws E_GGUF_METADATA or E_GGUF_TYPE. */
export function byteLevelTokenizer(metadata: Metadata, vocabulary: Vocabulary): ByteLevel {
  const named = metadata.string("tokenizer.ggml.pre");
  const cut = CUTS.get(named ?? ASSUMED);
  if (cut === undefined) {
    const warning = `the pre-tokenizer "${named}" is not known (known: ${[...CUTS.keys()].join(", ")}), so no tokenizer was made; take the tokenizer files of the original model`;
    return { parts: undefined, warnings: [warning] };
  }
  const warnings =
    (named ?? ASSUMED) === ASSUMED
      ? [
          "the file does not name its pre-tokenizer, so that of GPT-2 was taken; compare token ids with the original model",
        ]
      : [];
  const ids = new Map(vocabulary.tokens.map((token, id) => [token, id]));
  const addPrefixSpace = vocabulary.addSpacePrefix ?? false;
  const parts: TokenizerParts = {
    vocabulary,
    ids,
    merges: metadata.required(() => mergesOf(metadata, ids), "tokenizer.ggml.merges"),
    normalizer: cut.normalizer === undefined ? null : { type: cut.normalizer },
    preTokenizer: preTokenizer(cut, addPrefixSpace),
    postProcessor: byteLevel(true, false, true),
    decoder: byteLevel(true, true, true),
    model: {
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: cut.ignoreMerges ?? false,
    },
    addBos: vocabulary.addBos ?? cut.addBos ?? false,
    addEos: vocabulary.addEos ?? false,
    stripsRight: () => false,
  };
  return { parts, warnings };
}

const byteLevel = (addPrefixSpace: boolean, trimOffsets: boolean, useRegex: boolean): Json => ({
  type: "ByteLevel",
  add_prefix_space: addPrefixSpace,
  trim_offsets: trimOffsets,
  use_regex: useRegex,
});

function preTokenizer({ pattern, digits }: Cut, addPrefixSpace: boolean): Json {
  const bytes = byteLevel(addPrefixSpace, true, pattern === undefined);
  const before: Json[] = [];
  if (digits) before.push({ type: "Digits", individual_digits: true });
  if (pattern !== undefined) {
    before.push({
      type: "Split",
      pattern: { Regex: pattern },
      behavior: "Isolated",
      invert: false,
    });
  }
  if (before.length === 0) return bytes;
  return { type: "Sequence", pretokenizers: [...before, bytes] };
}
