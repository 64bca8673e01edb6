import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { SpInferError } from "../../src/core/errors.ts";
import { openTokenizer, type Tokenizer } from "../../src/eval/tokenizer.ts";

const DEMO = fileURLToPath(new URL("../../models/demo/", import.meta.url));
const demoBytes = readFileSync(`${DEMO}tokenizer.json`);
const demo = JSON.parse(demoBytes.toString("utf8"));

const small = {
  version: "1.0",
  added_tokens: [
    { id: 4, content: "<s>", special: true },
    { id: 5, content: "</s>", special: true },
  ],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2, " ": 3 }, merges: ["a b"] },
};

function open(file: unknown, settings?: unknown): Tokenizer {
  const bytes = (value: unknown): Uint8Array =>
    value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value));
  return openTokenizer({
    path: "m/tokenizer.json",
    tokenizer: bytes(file),
    settings: settings === undefined ? undefined : bytes(settings),
  });
}

function complaint(file: unknown, settings?: unknown): string {
  try {
    open(file, settings).encode("");
  } catch (thrown) {
    if (thrown instanceof SpInferError) return `${thrown.code} ${thrown.message}`;
    throw thrown;
  }
  return "accepted";
}

const template = (...single: readonly object[]): object => ({
  type: "TemplateProcessing",
  single,
  special_tokens: {
    "<s>": { id: "<s>", ids: [4], tokens: ["<s>"] },
    "</s>": { id: "</s>", ids: [5], tokens: ["</s>"] },
  },
});
const special = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
const text = { Sequence: { id: "A", type_id: 0 } };

describe("a tokenizer", () => {
  it("says what it is, and keeps what it adds apart from the text", () => {
    const tokenizer = open(demoBytes);
    expect(tokenizer).toMatchObject({
      sha256: createHash("sha256").update(demoBytes).digest("hex"),
      settingsSha256: undefined,
      vocabulary: 1536,
      ids: 1536,
      prefix: [1],
      suffix: [],
      bos: 1,
    });
    const ids = tokenizer.encode("Mia</s>");
    expect(ids.at(-1)).toBe(2);
    expect([...ids]).not.toContain(1);
    expect(tokenizer.encode("")).toHaveLength(0);
  });

  it("merges", () => {
    expect([...open(small).encode("ab aab")]).toEqual([2, 3, 0, 2]);
    const pairs = { ...small, model: { ...small.model, merges: [["a", "b"]] } };
    expect([...open(pairs).encode("ab")]).toEqual([2]);
  });

  it("reads the template", () => {
    const both = template(special("<s>"), text, special("</s>"));
    expect(open({ ...small, post_processor: both })).toMatchObject({
      prefix: [4],
      suffix: [5],
      bos: 4,
    });
    const nested = { type: "Sequence", processors: [{ type: "ByteLevel" }, both] };
    expect(open({ ...small, post_processor: nested })).toMatchObject({ prefix: [4], suffix: [5] });
    expect(open(small)).toMatchObject({ prefix: [], suffix: [], bos: undefined });
  });

  it("follows tokenizer_config.json where that says what is added", () => {
    const file = { ...small, post_processor: template(special("<s>"), text) };
    const tokens = { bos_token: "<s>", eos_token: { content: "</s>" } };
    expect(open(file, tokens)).toMatchObject({ prefix: [4], suffix: [], bos: 4 });
    expect(open(file, { ...tokens, add_bos_token: false })).toMatchObject({ prefix: [], bos: 4 });
    expect(open(small, { ...tokens, add_bos_token: true, add_eos_token: true })).toMatchObject({
      prefix: [4],
      suffix: [5],
    });
    // as transformers does: a BOS that is not there is not added
    expect(open(small, { add_bos_token: true })).toMatchObject({ prefix: [], bos: undefined });
  });

  it("refuses text of which it has no token and no substitute", () => {
    expect(() => open({ ...small, model: { ...small.model, unk_token: "?" } }).encode("c")).toThrow(
      "not in its vocabulary",
    );
  });
});

describe("a damaged tokenizer", () => {
  const model = (more: object): object => ({ ...small, model: { ...small.model, ...more } });
  it.each<[string, unknown, string]>([
    ["nothing", new Uint8Array(), "E_TOKENIZER m/tokenizer.json: the file is not JSON"],
    [
      "half a file",
      demoBytes.subarray(0, 40_000),
      "E_TOKENIZER m/tokenizer.json: the file is not JSON",
    ],
    [
      "other bytes",
      Uint8Array.of(0x80, 0x02),
      "E_TOKENIZER m/tokenizer.json: the file is not UTF-8",
    ],
    ["a list", [], "E_TOKENIZER m/tokenizer.json: the file does not hold a JSON object"],
    ["no model", { version: "1.0" }, "E_TOKENIZER m/tokenizer.json: it has no model"],
    [
      "no vocabulary",
      model({ vocab: undefined }),
      "E_TOKENIZER m/tokenizer.json: model.vocab is not an object",
    ],
    ["an empty one", model({ vocab: {} }), "E_TOKENIZER m/tokenizer.json: model.vocab is empty"],
    [
      "no merges",
      model({ merges: undefined }),
      "E_TOKENIZER m/tokenizer.json: model.merges is not a list",
    ],
    [
      "half a merge",
      model({ merges: ["a b", "a"] }),
      "E_TOKENIZER m/tokenizer.json: model.merges: number 1 is not a pair of tokens",
    ],
    [
      "an id twice",
      model({ vocab: { a: 0, b: 0 } }),
      "E_TOKENIZER m/tokenizer.json: model.vocab: two tokens have the id 0",
    ],
    [
      "a negative id",
      model({ vocab: { a: -1 } }),
      'E_TOKENIZER m/tokenizer.json: model.vocab: token "a" has the id -1, which is none',
    ],
    [
      "a giant id",
      { ...small, added_tokens: [{ id: 4e9, content: "x" }] },
      "E_TOKENIZER m/tokenizer.json: added_tokens: number 0 has the id 4000000000, which is none",
    ],
    [
      "an added token without text",
      { ...small, added_tokens: [{ id: 4 }] },
      "E_TOKENIZER m/tokenizer.json: added_tokens: number 0 has no text",
    ],
    [
      "a template without text",
      { ...small, post_processor: template(special("<s>")) },
      "E_TOKENIZER m/tokenizer.json: the template does not have the text once",
    ],
    [
      "a template with another token",
      { ...small, post_processor: template(special("<x>"), text) },
      'E_TOKENIZER m/tokenizer.json: the template names "<x>", which has no ids',
    ],
    [
      "a bad expression",
      { ...small, pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" } },
      "E_TOKENIZER m/tokenizer.json: it cannot be used: ",
    ],
  ])("with %s is refused", (_, file, message) => {
    expect(complaint(file).slice(0, message.length)).toBe(message);
  });

  it.each<[string, unknown, string]>([
    ["WordPiece", { ...small, model: { type: "WordPiece" } }, 'a tokenizer of type "WordPiece"'],
    ["dropout", model({ dropout: 0.1 }), "model.dropout 0.1"],
    ["a suffix", model({ end_of_word_suffix: "</w>" }), 'model.end_of_word_suffix "</w>"'],
    ["Lowercase", { ...small, normalizer: { type: "Lowercase" } }, 'the normalizer "Lowercase"'],
    [
      "Whitespace",
      { ...small, pre_tokenizer: { type: "Whitespace" } },
      'the pre-tokenizer "Whitespace"',
    ],
    [
      "a split that merges",
      {
        ...small,
        pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithNext" },
      },
      'Split with behavior "MergedWithNext" and invert false',
    ],
    [
      "BertProcessing",
      { ...small, post_processor: { type: "BertProcessing" } },
      'the post-processor "BertProcessing"',
    ],
    [
      "single words",
      { ...small, added_tokens: [{ id: 4, content: "x", single_word: true }] },
      'the added token "x" with single_word',
    ],
  ])("%s is not supported", (_, file, what) => {
    expect(complaint(file)).toBe(
      `E_TOKENIZER_UNSUPPORTED m/tokenizer.json: ${what} is not supported`,
    );
  });

  it("has settings that make sense", () => {
    expect(complaint(small, { add_bos_token: "yes" })).toBe(
      'E_TOKENIZER m/tokenizer_config.json: add_bos_token is "yes", neither true nor false',
    );
    expect(complaint(small, { add_eos_token: true })).toContain("there is no eos_token with an id");
    expect(complaint(demo, [])).toContain("m/tokenizer_config.json: the file does not hold a JSON");
  });
});
