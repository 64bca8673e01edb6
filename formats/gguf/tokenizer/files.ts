/** The tokenizer files of a Hugging Face folder, made from the metadata of a GGUF. */
import type { SideFile } from "../../../src/core/archive.ts";
import type { Metadata } from "../metadata.ts";
import { jsonFile, textFile } from "../sideFile.ts";
import { byteLevelTokenizer } from "./byteLevel.ts";
import { type TokenizerParts, tokenizerJson } from "./json.ts";
import { sentencePieceTokenizer } from "./sentencePiece.ts";
import { type Vocabulary, vocabularyOf } from "./vocabulary.ts";

export interface TokenizerFiles {
  readonly vocabulary: Vocabulary | undefined;
  readonly files: readonly SideFile[];
  readonly warnings: readonly string[];
}

/**
 * tokenizer.json, tokenizer_config.json (with the chat template) and special_tokens_map.json; no
 * files and a warning where the file's tokenizer cannot be rebuilt. Throws E_GGUF_METADATA or
 * E_GGUF_TYPE where it is damaged.
 */
export function tokenizerFiles(arch: string, metadata: Metadata, context: number): TokenizerFiles {
  const vocabulary = vocabularyOf(metadata);
  const kind = metadata.string("tokenizer.ggml.model");
  const { parts, warnings } = build(arch, metadata, vocabulary, kind);
  if (parts === undefined) return { vocabulary, files: [], warnings };
  const lost = parts.vocabulary.tokens.length - parts.ids.size;
  const special = specialTokens(parts);
  const files = [
    textFile("tokenizer.json", tokenizerJson(parts)),
    jsonFile("tokenizer_config.json", {
      ...special,
      add_bos_token: parts.addBos && special["bos_token"] !== undefined,
      add_eos_token: parts.addEos && special["eos_token"] !== undefined,
      clean_up_tokenization_spaces: false,
      model_max_length: context,
      tokenizer_class: "PreTrainedTokenizerFast",
      ...chatTemplate(metadata),
    }),
    jsonFile("special_tokens_map.json", special),
  ];
  if (lost === 0) return { vocabulary, files, warnings };
  return {
    vocabulary,
    files,
    warnings: [...warnings, `${lost} tokens are there twice; the last of each is kept`],
  };
}

function build(
  arch: string,
  metadata: Metadata,
  vocabulary: Vocabulary | undefined,
  kind: string | undefined,
): { readonly parts: TokenizerParts | undefined; readonly warnings: readonly string[] } {
  const none = (why: string) => ({
    parts: undefined,
    warnings: [`${why}, so no tokenizer was made; take the tokenizer files of the original model`],
  });
  if (vocabulary === undefined || kind === undefined) return none("the file has no tokenizer");
  if (kind === "gpt2") return byteLevelTokenizer(metadata, vocabulary);
  if (kind !== "llama") return none(`the file's tokenizer is of the kind "${kind}"`);
  return { parts: sentencePieceTokenizer(arch, metadata, vocabulary), warnings: [] };
}

function specialTokens({ vocabulary }: TokenizerParts): Record<string, string> {
  return Object.fromEntries(
    Object.entries(vocabulary.special).map(([name, id]) => [
      `${name}_token`,
      vocabulary.tokens[id as number]!,
    ]),
  );
}

const TEMPLATE = "tokenizer.chat_template";

/** One template is a string; with others beside it, a list, as transformers has it. */
function chatTemplate(metadata: Metadata): { chat_template?: unknown } {
  const main = metadata.string(TEMPLATE);
  const others = [...metadata.keys()].filter((key) => key.startsWith(`${TEMPLATE}.`));
  if (others.length === 0) return main === undefined ? {} : { chat_template: main };
  const named = others.map((key) => ({
    name: key.slice(TEMPLATE.length + 1),
    template: metadata.string(key),
  }));
  const first = main === undefined ? [] : [{ name: "default", template: main }];
  return { chat_template: [...first, ...named] };
}
