/**
 * "llama" vocabularies: SentencePiece BPE with byte fallback (Llama 1 and 2, Mistral, Gemma,
 * Phi-3). Spaces are written "▁". The file has scores and no merges; see ./merges.ts.
 */
import type { Metadata } from "../metadata.ts";
import type { Json, TokenizerParts } from "./json.ts";
import { impliedMerges, mergesOf } from "./merges.ts";
import { scoresOf, type Vocabulary } from "./vocabulary.ts";

const SPACE = "▁";

/** What the models of an architecture do with spaces, besides writing them "▁". */
interface Style {
  /** How the space before a text comes about: with it, or with every text after a special token. */
  readonly prefix: "metaspace" | "normalizer" | "none";
  /** Tokens made of spaces are in the file as spaces; the merges follow the order of the file. */
  readonly gemma?: true;
  readonly stripsRight?: (token: string) => boolean;
}

const GEMMA: Style = { prefix: "none", gemma: true };
/** Of Phi-3's special tokens these keep the white space that follows them. */
const PHI3_KEEPS: ReadonlySet<string> = new Set(["<unk>", "<s>", "<|endoftext|>"]);

const STYLES: ReadonlyMap<string, Style> = new Map([
  ["gemma", GEMMA],
  ["gemma2", GEMMA],
  ["gemma3", GEMMA],
  ["phi3", { prefix: "normalizer", stripsRight: (token) => !PHI3_KEEPS.has(token) }],
]);

const LLAMA: Style = { prefix: "metaspace" };

/** Throws E_GGUF_METADATA or E_GGUF_TYPE. */
export function sentencePieceTokenizer(
  arch: string,
  metadata: Metadata,
  vocabulary: Vocabulary,
): TokenizerParts {
  const style = STYLES.get(arch) ?? LLAMA;
  const { tokens, special } = vocabulary;
  const scores = scoresOf(metadata, tokens.length);
  const spelled = style.gemma ? tokens.map(spellSpaces) : tokens;
  const ids = new Map(spelled.map((token, id) => [token, id]));
  // Gemma's scores do not follow the order of its merges, the order of its tokens does
  const priority = style.gemma ? (id: number) => -id : (id: number) => scores[id]!;
  const prefix = vocabulary.addSpacePrefix === false ? "none" : style.prefix;
  return {
    vocabulary,
    ids,
    merges: mergesOf(metadata, ids) ?? impliedMerges(ids, priority),
    normalizer: normalizer(style, prefix),
    preTokenizer: preTokenizer(style, prefix),
    postProcessor: null,
    decoder: decoder(prefix),
    model: {
      unk_token: special.unk === undefined ? null : tokens[special.unk],
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
    },
    addBos: vocabulary.addBos ?? true,
    addEos: vocabulary.addEos ?? false,
    stripsRight: style.stripsRight ?? (() => false),
  };
}

const spellSpaces = (token: string) => (/^ +$/.test(token) ? SPACE.repeat(token.length) : token);

const REPLACE: Json = { type: "Replace", pattern: { String: " " }, content: SPACE };

function normalizer(style: Style, prefix: Style["prefix"]): Json {
  if (style.prefix === "metaspace") return null;
  if (prefix === "none") return REPLACE;
  return { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE }, REPLACE] };
}

function preTokenizer(style: Style, prefix: Style["prefix"]): Json {
  if (style.prefix !== "metaspace") return null;
  return {
    type: "Metaspace",
    replacement: SPACE,
    prepend_scheme: prefix === "none" ? "never" : "first",
    split: false,
  };
}

function decoder(prefix: Style["prefix"]): Json {
  const decoders: Json[] = [
    { type: "Replace", pattern: { String: SPACE }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  if (prefix !== "none") decoders.push({ type: "Strip", content: " ", start: 1, stop: 0 });
  return { type: "Sequence", decoders };
}
