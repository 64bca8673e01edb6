/** Pieces of a tokenizer.json (the format of the tokenizers library). */
import type { Merge } from "./merges.ts";
import { type SpecialTokens, TOKEN_KIND, type Vocabulary } from "./vocabulary.ts";

export type Json = { readonly [key: string]: unknown } | null;

/** What differs between the kinds of tokenizers. */
export interface TokenizerParts {
  readonly vocabulary: Vocabulary;
  /** The text of each token in the vocabulary, where it is not the one in the file. */
  readonly ids: ReadonlyMap<string, number>;
  readonly merges: readonly Merge[];
  readonly normalizer: Json;
  readonly preTokenizer: Json;
  readonly decoder: Json;
  readonly model: { readonly [key: string]: unknown };
  /** Goes before the tokens that are added at the ends. */
  readonly postProcessor: Json;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Tokens whose following white space is dropped. */
  readonly stripsRight: (token: string) => boolean;
}

/** The text of tokenizer.json. */
export function tokenizerJson(parts: TokenizerParts): string {
  // written by hand: as keys of an object, "__proto__" and whole numbers would not come out right
  const vocab = Array.from(parts.ids, ([token, id]) => `${JSON.stringify(token)}:${id}`).join(",");
  const merges = JSON.stringify(parts.merges);
  const model = JSON.stringify({ type: "BPE", dropout: null, ...parts.model }).slice(0, -1);
  const fields = [
    '"version":"1.0","truncation":null,"padding":null',
    `"added_tokens":${JSON.stringify(addedTokens(parts))}`,
    `"normalizer":${JSON.stringify(parts.normalizer)}`,
    `"pre_tokenizer":${JSON.stringify(parts.preTokenizer)}`,
    `"post_processor":${JSON.stringify(postProcessor(parts))}`,
    `"decoder":${JSON.stringify(parts.decoder)}`,
    `"model":${model},"vocab":{${vocab}},"merges":${merges}}`,
  ];
  return `{${fields.join(",\n")}}\n`;
}

/** Tokens that are found whole in a text, before anything else is done to it. */
function addedTokens({ vocabulary, ids, stripsRight }: TokenizerParts): Json[] {
  const { tokens, kinds, special } = vocabulary;
  const named = new Set(Object.values(special));
  const added: Json[] = [];
  for (const [id, content] of tokens.entries()) {
    const kind = kinds?.[id];
    const isSpecial = kind === TOKEN_KIND.control || kind === TOKEN_KIND.unknown || named.has(id);
    if (content === "" || ids.get(content) !== id) continue;
    if (!isSpecial && kind !== TOKEN_KIND.userDefined) continue;
    added.push({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: isSpecial && stripsRight(content),
      normalized: false,
      special: isSpecial,
    });
  }
  return added;
}

/** The beginning and end tokens that go around every text. */
function endTokens({ vocabulary, addBos, addEos }: TokenizerParts): SpecialTokens {
  const { bos, eos } = vocabulary.special;
  return {
    ...(addBos && bos !== undefined ? { bos } : {}),
    ...(addEos && eos !== undefined ? { eos } : {}),
  };
}

function postProcessor(parts: TokenizerParts): Json {
  const { bos, eos } = endTokens(parts);
  if (bos === undefined && eos === undefined) return parts.postProcessor;
  const { tokens } = parts.vocabulary;
  const token = (id: number | undefined, type_id: number) =>
    id === undefined ? [] : [{ SpecialToken: { id: tokens[id], type_id } }];
  const text = (name: string, type_id: number) => [
    ...token(bos, type_id),
    { Sequence: { id: name, type_id } },
    ...token(eos, type_id),
  ];
  const used = [bos, eos].filter((id) => id !== undefined);
  const template = {
    type: "TemplateProcessing",
    single: text("A", 0),
    pair: [...text("A", 0), ...text("B", 1)],
    special_tokens: Object.fromEntries(
      used.map((id) => [tokens[id], { id: tokens[id], ids: [id], tokens: [tokens[id]] }]),
    ),
  };
  if (parts.postProcessor === null) return template;
  return { type: "Sequence", processors: [parts.postProcessor, template] };
}
