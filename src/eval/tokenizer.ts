/**
 * Text to token ids, as the model's tokenizer.json says. Ids are those of the Python package
 * `tokenizers`; what the tokenizer puts before and after a text is told apart from the text's own
 * tokens, so that nothing is added unseen.
 */
import { createHash } from "node:crypto";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { SpInferError } from "../core/errors.ts";
import { isCount, isRecord } from "../core/guards.ts";
import { beginnings, endsWordsAtSpaces } from "./textBeginning.ts";
import {
  damaged,
  named,
  readTokenizerFile,
  readTokenizerSettings,
  type TokenizerFile,
  type TokenizerSettings,
} from "./tokenizerFile.ts";
import { reworkedParts } from "./tokenizerParts.ts";

export interface TokenizerBytes {
  /** For messages. */
  readonly path: string;
  /** tokenizer.json */
  readonly tokenizer: Uint8Array;
  /** tokenizer_config.json; absent: the template of tokenizer.json holds. */
  readonly settings?: Uint8Array | undefined;
}

export interface Tokenizer {
  readonly path: string;
  /** SHA-256 of tokenizer.json. */
  readonly sha256: string;
  /** SHA-256 of tokenizer_config.json, where there is one. */
  readonly settingsSha256: string | undefined;
  /** Highest id of its own vocabulary, and one; added tokens may lie beyond. */
  readonly vocabulary: number;
  /** Highest id of all, and one. */
  readonly ids: number;
  /** What is put before a text and after it: [BOS] and nothing, most of the time. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** The token that begins texts, whether it is put there or not. */
  readonly bos: number | undefined;
  /** What it was made from. */
  readonly source: TokenizerBytes;
  /**
   * The text's own tokens, without prefix and suffix; special tokens written out in it count. `most`:
   * no more than its first so many. For as long as its expressions take: see ./tokenise.ts. Throws
   * E_TOKENIZER where it cannot be used.
   */
  encode(text: string, most?: number): Int32Array;
}

/** Throws E_TOKENIZER and E_TOKENIZER_UNSUPPORTED. */
export function openTokenizer(source: TokenizerBytes): Tokenizer {
  const { path, tokenizer, settings } = source;
  const file = readTokenizerFile(tokenizer, path);
  const parts = reworkedParts(file);
  const template = readTokenizerSettings(settings, path.replace(/\.json$/, "_config.json"));
  const ends = endsOf(file, template);
  let library: LibraryTokenizer | undefined;
  return {
    path,
    sha256: sha256(tokenizer),
    settingsSha256: settings === undefined ? undefined : sha256(settings),
    vocabulary: file.vocabulary,
    ids: file.addedTokens.reduce((most, { id }) => Math.max(most, id + 1), file.vocabulary),
    ...ends,
    source,
    encode(text, most = Number.POSITIVE_INFINITY) {
      library ??= build(file, parts);
      return encodeBeginning(library, text, most, file);
    },
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function build(file: TokenizerFile, parts: Record<string, unknown>): LibraryTokenizer {
  const { root, path, model } = file;
  const whole = {
    ...root,
    ...parts,
    model: { ...model, type: "BPE" },
    added_tokens: root["added_tokens"] ?? [],
    // not used: what surrounds a text is put there by us, and nothing is decoded
    post_processor: null,
    decoder: null,
  };
  try {
    const library = new LibraryTokenizer(whole, {});
    const model = library.model as { cache?: WordCache } | null;
    if (model?.cache !== undefined) model.cache = new WordCache();
    return library;
  } catch (cause) {
    throw damaged(path, `it cannot be used: ${(cause as Error).message}`, cause);
  }
}

/** Words of which the pieces are kept. */
const MOST_WORDS = 100_000;

/**
 * What the library asks for a word's pieces. Its own keeps the order of use, at two changes of a map
 * for each word that is found: a quarter of the time of a text.
 */
class WordCache {
  private readonly words = new Map<string, string[]>();

  get(word: string): string[] | undefined {
    return this.words.get(word);
  }

  put(word: string, pieces: string[]): void {
    if (this.words.size >= MOST_WORDS) this.words.clear();
    this.words.set(word, pieces);
  }

  clear(): void {
    this.words.clear();
  }
}

/** Reads no more of the text than it must. */
function encodeBeginning(
  library: LibraryTokenizer,
  text: string,
  most: number,
  file: TokenizerFile,
): Int32Array {
  const tries = endsWordsAtSpaces(file) ? beginnings(text, most) : [text];
  let ids: Int32Array = new Int32Array(0);
  for (const beginning of tries) {
    ids = encode(library, beginning, file.path);
    if (ids.length >= most) break;
  }
  return ids.subarray(0, Math.min(most, ids.length));
}

/** Throws E_TOKENIZER for what has no token and no substitute. */
function encode(library: LibraryTokenizer, text: string, path: string): Int32Array {
  const { ids } = library.encode(text, { add_special_tokens: false });
  const found = new Int32Array(ids.length);
  for (const [i, id] of ids.entries()) {
    if (id === undefined || id === null) {
      throw damaged(path, `the text has a piece (token ${i}) that is not in its vocabulary`);
    }
    found[i] = id;
  }
  return found;
}

interface Ends {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly bos: number | undefined;
}

/**
 * tokenizer_config.json's add_bos_token and add_eos_token where it says either, else the template
 * in tokenizer.json: as transformers does.
 */
function endsOf(file: TokenizerFile, settings: TokenizerSettings): Ends {
  const { addBos, addEos, bosToken, eosToken } = settings;
  const bos = bosToken === undefined ? undefined : idOf(file, bosToken);
  if (addBos === undefined && addEos === undefined) {
    const ends = templateOf(file.root["post_processor"], file);
    return { ...ends, bos: bos ?? ends.prefix[0] };
  }
  const eos = eosToken === undefined ? undefined : idOf(file, eosToken);
  if (addEos === true && eos === undefined) {
    throw damaged(file.path, "add_eos_token is true, but there is no eos_token with an id");
  }
  return {
    prefix: addBos === true && bos !== undefined ? [bos] : [],
    suffix: addEos === true ? [eos!] : [],
    bos,
  };
}

function idOf({ addedTokens, model }: TokenizerFile, token: string): number | undefined {
  const added = addedTokens.find(({ content }) => content === token);
  if (added !== undefined) return added.id;
  const vocab = model["vocab"] as Record<string, number>;
  return Object.hasOwn(vocab, token) ? vocab[token] : undefined;
}

/** What a post-processor puts around a single text. */
function templateOf(
  processor: unknown,
  file: TokenizerFile,
): { prefix: readonly number[]; suffix: readonly number[] } {
  const none = { prefix: [], suffix: [] };
  if (processor === null || processor === undefined) return none;
  if (!isRecord(processor)) throw damaged(file.path, "post_processor is not an object");
  switch (processor["type"]) {
    case "ByteLevel": // offsets only
      return none;
    case "Sequence": {
      const list = processor["processors"];
      if (!Array.isArray(list))
        throw damaged(file.path, "post_processor has no list of processors");
      return list
        .map((member: unknown) => templateOf(member, file))
        .reduce(
          (inner, outer) => ({
            prefix: [...outer.prefix, ...inner.prefix],
            suffix: [...inner.suffix, ...outer.suffix],
          }),
          none,
        );
    }
    case "TemplateProcessing":
      return templateIds(processor, file);
    default:
      throw new SpInferError(
        "E_TOKENIZER_UNSUPPORTED",
        `${file.path}: the post-processor ${named(processor["type"])} is not supported`,
        { path: file.path, hint: "docs/eval.md lists what is" },
      );
  }
}

function templateIds(
  processor: Record<string, unknown>,
  file: TokenizerFile,
): { prefix: readonly number[]; suffix: readonly number[] } {
  const { single } = processor;
  if (!Array.isArray(single)) throw damaged(file.path, "the template has no single sequence");
  const pieces = single.map((piece: unknown) => {
    if (isRecord(piece) && isRecord(piece["Sequence"])) return "text";
    return specialIds(processor, isRecord(piece) ? piece["SpecialToken"] : piece, file);
  });
  const at = pieces.indexOf("text");
  if (at < 0 || pieces.lastIndexOf("text") !== at)
    throw damaged(file.path, "the template does not have the text once");
  const idsOf = (some: typeof pieces): number[] => some.flatMap((ids) => ids as readonly number[]);
  return { prefix: idsOf(pieces.slice(0, at)), suffix: idsOf(pieces.slice(at + 1)) };
}

function specialIds(
  { special_tokens: special }: Record<string, unknown>,
  token: unknown,
  file: TokenizerFile,
): readonly number[] {
  const name = isRecord(token) ? token["id"] : undefined;
  const entry = isRecord(special) ? special[String(name)] : undefined;
  const ids = isRecord(entry) ? entry["ids"] : undefined;
  if (Array.isArray(ids) && ids.every(isCount)) return ids;
  throw damaged(file.path, `the template names ${named(name)}, which has no ids`);
}
