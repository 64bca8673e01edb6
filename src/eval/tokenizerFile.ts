/** tokenizer.json and tokenizer_config.json as data, checked as far as anything here relies on them. */
import { isUtf8 } from "node:buffer";
import { SpInferError } from "../core/errors.ts";
import { isCount, isRecord } from "../core/guards.ts";
import { printable } from "../core/text.ts";

/** More tokens than any model has; an id beyond would make a table of that size. */
const LARGEST_ID = 1 << 24;

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** A tokenizer.json whose outline is as it should be; the parts are as they were. */
export interface TokenizerFile {
  readonly path: string;
  readonly root: Readonly<Record<string, unknown>>;
  readonly model: Readonly<Record<string, unknown>>;
  readonly addedTokens: readonly AddedToken[];
  /** Highest id of the model's own vocabulary, and one. */
  readonly vocabulary: number;
}

/** Throws E_TOKENIZER, or E_TOKENIZER_UNSUPPORTED for another model than BPE. */
export function readTokenizerFile(bytes: Uint8Array, path: string): TokenizerFile {
  const root = parseObject(bytes, path);
  const model = root["model"];
  if (!isRecord(model)) throw damaged(path, "it has no model");
  const { type = "BPE" } = model;
  if (type !== "BPE") {
    throw new SpInferError(
      "E_TOKENIZER_UNSUPPORTED",
      `${path}: a tokenizer of type ${named(type)} is not supported`,
      { path, expected: "BPE" },
    );
  }
  const addedTokens = readAddedTokens(root["added_tokens"] ?? [], path);
  const vocabulary = checkVocabulary(model["vocab"], path);
  checkMerges(model["merges"], path);
  return { path, root, model, addedTokens, vocabulary };
}

export interface TokenizerSettings {
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  /** Undefined: not said, so the template of tokenizer.json holds. */
  readonly addBos: boolean | undefined;
  readonly addEos: boolean | undefined;
}

/** Of tokenizer_config.json; without the file nothing is said. Throws E_TOKENIZER. */
export function readTokenizerSettings(
  bytes: Uint8Array | undefined,
  path: string,
): TokenizerSettings {
  const root = bytes === undefined ? {} : parseObject(bytes, path);
  const flag = (key: string): boolean | undefined => {
    const value = root[key] ?? undefined;
    if (value === undefined || typeof value === "boolean") return value;
    throw damaged(path, `${key} is ${named(value)}, neither true nor false`);
  };
  return {
    bosToken: tokenText(root["bos_token"]),
    eosToken: tokenText(root["eos_token"]),
    addBos: flag("add_bos_token"),
    addEos: flag("add_eos_token"),
  };
}

/** Special tokens are written as a text, or as an object with the text in `content`. */
function tokenText(value: unknown): string | undefined {
  const text = isRecord(value) ? value["content"] : value;
  return typeof text === "string" ? text : undefined;
}

export function damaged(path: string, what: string, cause?: unknown): SpInferError {
  return new SpInferError("E_TOKENIZER", `${path}: ${what}`, {
    path,
    cause,
    hint: "fetch the file again, or name a folder with a good one with --tokenizer",
  });
}

function parseObject(bytes: Uint8Array, path: string): Record<string, unknown> {
  if (!isUtf8(bytes)) throw damaged(path, "the file is not UTF-8");
  let root: unknown;
  try {
    root = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw damaged(path, "the file is not JSON", cause);
  }
  if (!isRecord(root)) throw damaged(path, "the file does not hold a JSON object");
  return root;
}

function checkVocabulary(vocab: unknown, path: string): number {
  if (!isRecord(vocab)) throw damaged(path, "model.vocab is not an object");
  const seen = new Set<number>();
  let highest = -1;
  for (const [token, id] of Object.entries(vocab)) {
    checkId(id, `model.vocab: token ${named(token)}`, path);
    if (seen.has(id)) throw damaged(path, `model.vocab: two tokens have the id ${id}`);
    seen.add(id);
    highest = Math.max(highest, id);
  }
  if (highest < 0) throw damaged(path, "model.vocab is empty");
  return highest + 1;
}

function checkId(id: unknown, whose: string, path: string): asserts id is number {
  if (isCount(id) && id < LARGEST_ID) return;
  throw damaged(path, `${whose} has the id ${named(id)}, which is none`);
}

/** Merges are written "a b", or ["a", "b"] since tokens may hold spaces. */
function checkMerges(merges: unknown, path: string): void {
  if (!Array.isArray(merges)) throw damaged(path, "model.merges is not a list");
  const pairs = Array.isArray(merges[0]);
  for (const [i, merge] of merges.entries()) {
    const good = pairs
      ? Array.isArray(merge) && merge.length === 2 && merge.every((t) => typeof t === "string")
      : typeof merge === "string" && merge.includes(" ");
    if (!good) throw damaged(path, `model.merges: number ${i} is not a pair of tokens`);
  }
}

function readAddedTokens(list: unknown, path: string): AddedToken[] {
  if (!Array.isArray(list)) throw damaged(path, "added_tokens is not a list");
  return list.map((token: unknown, i) => {
    const where = `added_tokens: number ${i}`;
    if (!isRecord(token)) throw damaged(path, `${where} is not an object`);
    const { id, content, special } = token;
    if (typeof content !== "string" || content === "") throw damaged(path, `${where} has no text`);
    checkId(id, where, path);
    return { id, content, special: special === true };
  });
}

/** A value from the file, in a message. */
export function named(value: unknown): string {
  return printable(JSON.stringify(value) ?? String(value), 60);
}
