/** Beginnings of texts have the tokens that the whole text has there. */
import { readFileSync } from "node:fs";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { describe, expect, it, vi } from "vitest";
import { beginnings, endsWordsAtSpaces } from "../../src/eval/textBeginning.ts";
import { openTokenizer } from "../../src/eval/tokenizer.ts";
import { readTokenizerFile } from "../../src/eval/tokenizerFile.ts";
import { mixedText } from "./mixedText.ts";

type Part = Readonly<Record<string, unknown>>;

const DEMO = readFileSync(new URL("../../models/demo/tokenizer.json", import.meta.url), "utf8");
const GPT2 = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
const BYTES = { ...GPT2, use_regex: false };
const DIGITS = { type: "Digits", individual_digits: true };
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

function bytesOf(change: Part, model: Part = {}): Uint8Array {
  const file = JSON.parse(DEMO);
  return Buffer.from(JSON.stringify({ ...file, ...change, model: { ...file.model, ...model } }));
}

const sequence = (...pretokenizers: readonly Part[]): Part => ({
  pre_tokenizer: { type: "Sequence", pretokenizers },
});
const split = (Regex: string): Part => ({
  type: "Split",
  pattern: { Regex },
  behavior: "Isolated",
  invert: false,
});
const added = (content: string): Part => ({
  added_tokens: [{ id: 0, content, special: true, normalized: false }],
});

const WITH_SPLITS: readonly (readonly [string, Part])[] = [
  ["GPT-2's words", sequence(GPT2)],
  ["GPT-2's words, a space before the first", sequence({ ...GPT2, add_prefix_space: true })],
  ["digits alone and GPT-2's words", sequence(DIGITS, GPT2)],
  ["LLaMA 3's words", sequence(split(LLAMA3), BYTES)],
  ["Qwen's words", sequence(split(LLAMA3.replace("{1,3}", "")), BYTES)],
  ["composed letters", { ...sequence(GPT2), normalizer: { type: "NFC" } }],
];

describe("a tokenizer that is asked for a text's first tokens", () => {
  const text = mixedText(60_000, 5);

  it.each(WITH_SPLITS)("gives those of the whole text: %s", (_, change) => {
    const tokenizer = bytesOf(change);
    expect(endsWordsAtSpaces(readTokenizerFile(tokenizer, "t"))).toBe(true);
    const { encode } = openTokenizer({ path: "t", tokenizer });
    const all = encode(text);
    for (const most of [0, 1, 2, 7, 100, 1001, 3333, all.length - 1, all.length, 10 ** 9])
      expect(encode(text, most)).toEqual(all.subarray(0, most));
    for (const beginning of beginnings(text, 50)) {
      const some = encode(beginning);
      expect(some).toEqual(all.subarray(0, some.length));
    }
  });

  it("reads no more of it than a beginning, and more where that has too few", () => {
    const { encode } = openTokenizer({ path: "t", tokenizer: bytesOf(sequence(GPT2)) });
    const read = vi.spyOn(LibraryTokenizer.prototype, "encode");
    const lengths = (text: string, most: number): number[] => {
      read.mockClear();
      encode(text, most);
      return read.mock.calls.map((call: readonly unknown[]) => String(call[0]).length);
    };
    const words = "word ".repeat(10_000);
    expect(lengths(words, 100)).toEqual([504]);
    expect(lengths(words, 100_000)).toEqual([50_000]);
    // a token of more letters than a beginning reckons with
    const { vocab } = JSON.parse(DEMO).model;
    const isLong = (token: string): boolean => /^\u0120[a-z]{8}$/.test(token);
    const long = Object.keys(vocab).find(isLong)!.slice(1);
    expect(lengths(` ${long}`.repeat(500), 100)).toEqual([504, 1017]);
    read.mockRestore();
  });
});

describe("a tokenizer that may join words", () => {
  const refused: readonly [string, Part, Part?][] = [
    ["has no pre-tokenizer", { pre_tokenizer: null }],
    ["marks spaces", { pre_tokenizer: { type: "Metaspace" } }],
    ["splits by an expression that is not known", sequence(split("\\w+ \\w+"), GPT2)],
    ["keeps what an expression leaves", sequence({ ...split(LLAMA3), behavior: "Removed" })],
    ["makes spaces letters first", sequence(BYTES, split(LLAMA3))],
    ["replaces characters", { normalizer: { type: "Replace", pattern: {}, content: "" } }],
    ["has an added token with a space", added("<a b>")],
    ["joins unknown pieces", {}, { fuse_unk: true }],
  ];

  it.each(refused)("reads the whole text: it %s", (...[, change, model]) => {
    const bytes = bytesOf({ ...sequence(GPT2), ...(change as Part) }, model as Part | undefined);
    expect(endsWordsAtSpaces(readTokenizerFile(bytes, "t"))).toBe(false);
  });
});

describe("beginnings of a text", () => {
  it("end with a letter before a space, and grow to the whole", () => {
    const text = `${"ab, cd. ".repeat(3)}ef gh${"!".repeat(30)} 12 ij`;
    expect([...beginnings(text, 1)]).toEqual([text.slice(0, 26), text]);
    expect([...beginnings(text, 1000)]).toEqual([text]);
    expect([...beginnings("", 1)]).toEqual([""]);
  });
});
