/** Whether the tokenizer's ids are ones that the model knows. */
import { SpInferError } from "../core/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * A vocabulary larger than the model's belongs to another model: throws E_VOCABULARY. Where only
 * added tokens lie beyond, the model can be evaluated on texts without them: a sentence to warn with.
 */
export function checkVocabulary(
  { path, vocabulary, ids }: Pick<Tokenizer, "path" | "vocabulary" | "ids">,
  modelVocabulary: number,
): string | undefined {
  if (vocabulary > modelVocabulary) {
    throw new SpInferError("E_VOCABULARY", `${path}: it has more tokens than the model`, {
      path,
      found: `${vocabulary} tokens, and ${modelVocabulary} of the model`,
      hint: "use the tokenizer files that belong to the model",
    });
  }
  if (ids <= modelVocabulary) return undefined;
  return `${path}: ${ids - modelVocabulary} added tokens are beyond the model's ${modelVocabulary}`;
}

/** Throws E_TOKEN_ID for an id that the model has no embedding for. */
export function checkIds(
  ids: Int32Array,
  { path }: Pick<Tokenizer, "path">,
  modelVocabulary: number,
): void {
  const at = ids.findIndex((id) => id >= modelVocabulary);
  if (at < 0) return;
  throw new SpInferError("E_TOKEN_ID", `${path}: token id ${ids[at]} is outside the vocabulary`, {
    path,
    found: `id ${ids[at]}, token ${at} of the text`,
    expected: `0 to ${modelVocabulary - 1}`,
    hint: "use the tokenizer files that belong to the model",
  });
}
