/**
 * Beginnings of a text that have the same tokens as the whole text has there. Who reads a few windows
 * of a long text need not wait for all of it.
 *
 * A beginning ends with an ASCII letter, and a space follows. There, with the expressions below, a
 * word ends whatever comes after the space: none of them matches a letter and a space behind it, none
 * looks from before the space to behind it, and words are merged each on its own. Other tokenizers
 * are not cut for.
 */
import { isRecord } from "../core/guards.ts";
import type { TokenizerFile } from "./tokenizerFile.ts";

type Part = Readonly<Record<string, unknown>>;

/** Splits of LLaMA 3 and Qwen 2; that of GPT-2 is in ByteLevel itself. */
const WORDS = ["\\p{N}{1,3}", "\\p{N}"].map(
  (digits) =>
    `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
);
/** Characters of a token, about, with some to spare. */
const CHARACTERS = 5;

/** Whether the tokenizer's words end where a space follows a letter, for certain. */
export function endsWordsAtSpaces({ root, model }: TokenizerFile): boolean {
  const added = (root["added_tokens"] ?? []) as readonly Part[];
  return (
    keepsSpaces(root["normalizer"]) &&
    endsWords(root["pre_tokenizer"]) === true &&
    model["fuse_unk"] !== true && // would join tokens of several words
    !added.some(({ content }) => /\S\s/.test(String(content)))
  );
}

function keepsSpaces(normalizer: unknown): boolean {
  if (normalizer === null || normalizer === undefined) return true;
  if (!isRecord(normalizer)) return false;
  const { type, normalizers } = normalizer;
  if (type === "Sequence") return Array.isArray(normalizers) && normalizers.every(keepsSpaces);
  return type === "NFC" || type === "NFD"; // no character is composed with a space
}

/** Undefined: it leaves that to the parts behind it. */
function endsWords(part: unknown): boolean | undefined {
  if (!isRecord(part)) return false;
  switch (part["type"]) {
    case "Sequence": {
      const members = part["pretokenizers"];
      if (!Array.isArray(members)) return false;
      return members.map(endsWords).find((ends) => ends !== undefined);
    }
    case "Digits":
      return undefined;
    case "ByteLevel":
      return part["use_regex"] !== false; // after it spaces look like letters
    case "Split": {
      const { pattern, behavior, invert } = part;
      const known = isRecord(pattern) && WORDS.includes(String(pattern["Regex"]));
      return known && behavior === "Isolated" && invert !== true;
    }
    default:
      return false;
  }
}

/** Ever longer beginnings, for about `tokens` tokens the first; the text itself the last. */
export function* beginnings(text: string, tokens: number): Generator<string> {
  const space = /[A-Za-z] /g;
  for (let size = CHARACTERS * tokens; size < text.length; ) {
    space.lastIndex = size;
    const found = space.exec(text);
    if (found === null) break;
    const end = found.index + 1;
    yield text.slice(0, end);
    size = 2 * end;
  }
  yield text;
}
