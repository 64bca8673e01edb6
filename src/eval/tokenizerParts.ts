/**
 * The normalizer and pre-tokenizer of a tokenizer.json, rewritten so that the library gives what
 * the reference implementation (the Rust crate `tokenizers`) gives. Where a part is left out here,
 * it is refused: a token more or less is another perplexity.
 *
 * The library differs from the reference in three parts, each of which is put in terms of others:
 *   ByteLevel   its own expression takes U+FEFF for a space and U+0085 for none
 *   Digits      knows ASCII digits alone; the reference, every character of a category N
 *   Metaspace   does not split before each "▁" where the reference does
 */
import { SpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { damaged, named, type TokenizerFile } from "./tokenizerFile.ts";

type Part = Readonly<Record<string, unknown>>;

/** The expression of GPT-2, which a Split reads as the reference does: \s is White_Space. */
const GPT2_WORDS =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const SPACE_MARK = "\u2581";

/** Throws E_TOKENIZER_UNSUPPORTED or E_TOKENIZER. */
export function reworkedParts(file: TokenizerFile): Record<string, unknown> {
  const { root, model, path } = file;
  for (const key of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    const value = model[key] ?? "";
    if (value !== "" && value !== 0) throw unsupported(path, `model.${key} ${named(value)}`);
  }
  for (const token of root["added_tokens"] as readonly Part[]) {
    if (token["single_word"] === true) {
      throw unsupported(path, `the added token ${named(token["content"])} with single_word`);
    }
  }
  const normalizer = part(root, "normalizer", path);
  const preTokenizer = part(root, "pre_tokenizer", path);
  if (normalizer !== null) checkNormalizer(normalizer, path);
  return {
    normalizer,
    pre_tokenizer:
      preTokenizer === null ? null : reworkedPreTokenizer(preTokenizer, normalizer, path),
  };
}

function unsupported(path: string, what: string): SpInferError {
  return new SpInferError("E_TOKENIZER_UNSUPPORTED", `${path}: ${what} is not supported`, {
    path,
    hint: "docs/eval.md lists what is",
  });
}

function part(holder: Part, key: string, path: string): Part | null {
  const value = holder[key] ?? null;
  if (value === null || isRecord(value)) return value;
  throw damaged(path, `${key} is not an object`);
}

function members(sequence: Part, key: string, path: string): readonly Part[] {
  const list = sequence[key];
  if (Array.isArray(list) && list.every(isRecord)) return list;
  throw damaged(path, `${key} is not a list of objects`);
}

const NORMALIZERS = ["NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace"];

function checkNormalizer(normalizer: Part, path: string): void {
  const { type } = normalizer;
  if (type === "Sequence") {
    for (const member of members(normalizer, "normalizers", path)) checkNormalizer(member, path);
    return;
  }
  if (!NORMALIZERS.includes(String(type))) throw unsupported(path, `the normalizer ${named(type)}`);
  if (type === "Prepend" && typeof normalizer["prepend"] !== "string")
    throw damaged(path, "the normalizer Prepend has no text to put before");
  if (type === "Replace") {
    checkPattern(normalizer["pattern"], path);
    if (typeof normalizer["content"] !== "string")
      throw damaged(path, "the normalizer Replace has nothing to replace with");
  }
}

function checkPattern(pattern: unknown, path: string): void {
  if (isRecord(pattern) && Object.keys(pattern).length === 1) {
    const text = pattern["String"] ?? pattern["Regex"];
    if (typeof text === "string" && text !== "") return;
  }
  throw damaged(path, `${named(pattern)} is not a pattern`);
}

function reworkedPreTokenizer(preTokenizer: Part, normalizer: Part | null, path: string): Part {
  switch (preTokenizer["type"]) {
    case "Sequence":
      return sequence(
        ...members(preTokenizer, "pretokenizers", path).map((member) =>
          reworkedPreTokenizer(member, normalizer, path),
        ),
      );
    case "ByteLevel":
      return byteLevel(preTokenizer);
    case "Digits":
      return isolated(preTokenizer["individual_digits"] === true ? "\\p{N}" : "\\p{N}+");
    case "Metaspace":
      return metaspace(preTokenizer, path);
    case "Split":
      return checkedSplit(preTokenizer, normalizer, path);
    default:
      throw unsupported(path, `the pre-tokenizer ${named(preTokenizer["type"])}`);
  }
}

function sequence(...pretokenizers: readonly Part[]): Part {
  return { type: "Sequence", pretokenizers };
}

/** Each match is a piece of its own, and so is what lies between two. */
function isolated(expression: string): Part {
  return { type: "Split", pattern: { Regex: expression }, behavior: "Isolated", invert: false };
}

function byteLevel(settings: Part): Part {
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  return sequence(
    // a Metaspace whose mark is the space itself puts one before a piece that has none
    ...(settings["add_prefix_space"] === false
      ? []
      : [{ type: "Metaspace", replacement: " ", prepend_scheme: "always" }]),
    ...(settings["use_regex"] === false ? [] : [isolated(GPT2_WORDS)]),
    bytes,
  );
}

function metaspace(settings: Part, path: string): Part {
  const { replacement = SPACE_MARK, add_prefix_space, split = true } = settings;
  const scheme = settings["prepend_scheme"] ?? (add_prefix_space === false ? "never" : "always");
  if (typeof replacement !== "string" || [...replacement].length !== 1)
    throw damaged(path, `Metaspace: the replacement ${named(replacement)} is not one character`);
  if (!["always", "first", "never"].includes(String(scheme)))
    throw unsupported(path, `Metaspace with prepend_scheme ${named(scheme)}`);
  const mark = `\\u{${replacement.codePointAt(0)!.toString(16)}}`;
  return sequence(
    { type: "Metaspace", replacement, prepend_scheme: scheme },
    ...(split === false ? [] : [isolated(`${mark}[^${mark}]*|[^${mark}]+`)]),
  );
}

/** Only those that the library splits as the reference does. */
function checkedSplit(split: Part, normalizer: Part | null, path: string): Part {
  const { pattern, behavior, invert = false } = split;
  checkPattern(pattern, path);
  if (behavior === "Isolated" && invert === false) return split;
  if (behavior === "Removed") return split;
  // Gemma: splits at spaces, of which its normalizer has left none
  if (behavior === "MergedWithPrevious" && isSpace(pattern) && replacesSpaces(normalizer))
    return { ...split, behavior: "Isolated", invert: false };
  throw unsupported(path, `Split with behavior ${named(behavior)} and invert ${named(invert)}`);
}

function isSpace(pattern: unknown): boolean {
  return isRecord(pattern) && pattern["String"] === " ";
}

function replacesSpaces(normalizer: Part | null): boolean {
  if (normalizer?.["type"] === "Sequence") {
    return (normalizer["normalizers"] as readonly Part[]).some(replacesSpaces);
  }
  return normalizer?.["type"] === "Replace" && isSpace(normalizer["pattern"]);
}
