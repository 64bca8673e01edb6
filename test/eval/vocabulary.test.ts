import { describe, expect, it } from "vitest";
import { checkIds, checkVocabulary } from "../../src/eval/vocabulary.ts";

const tokenizer = { path: "t.json", vocabulary: 100, ids: 102 };

describe("a tokenizer beside a model", () => {
  it("with as many tokens or fewer is right: embeddings are often padded", () => {
    expect(checkVocabulary(tokenizer, 102)).toBeUndefined();
    expect(checkVocabulary(tokenizer, 128)).toBeUndefined();
  });

  it("with added tokens beyond the model's is warned about", () => {
    expect(checkVocabulary(tokenizer, 100)).toBe(
      "t.json: 2 added tokens are beyond the model's 100",
    );
  });

  it("with a larger vocabulary is another model's", () => {
    expect(() => checkVocabulary(tokenizer, 99)).toThrow(
      "t.json: it has more tokens than the model",
    );
  });

  it("must not give ids that the model has not", () => {
    expect(() => checkIds(Int32Array.of(0, 99, 5), tokenizer, 100)).not.toThrow();
    expect(() => checkIds(Int32Array.of(0, 99, 100, 101), tokenizer, 100)).toThrow(
      "t.json: token id 100 is outside the vocabulary",
    );
  });
});
