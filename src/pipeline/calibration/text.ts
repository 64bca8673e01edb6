/** The windows of token ids that a model is calibrated on. */
import { createHash } from "node:crypto";
import { SpInferError } from "../../core/errors.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { ModelFacts } from "../../engine/engine.ts";
import { windowBegins } from "../../eval/calibration/windows.ts";
import { openTextSet } from "../../eval/textSet.ts";
import { openAndTokenise } from "../../eval/tokenise.ts";
import { checkIds, checkVocabulary } from "../../eval/vocabulary.ts";
import { tokenizerBytes } from "../modelTokenizer.ts";
import type { OpenedModel, OpenModelOptions } from "../openModel.ts";
import type { CalibrationRecipe } from "../recipe/index.ts";

const DEFAULT_LENGTH = 2048;

export interface CalibrationText {
  /** Ids of all windows, one after another. */
  readonly ids: Int32Array;
  readonly nsamples: number;
  /** Tokens of a window. */
  readonly seqlen: number;
  readonly windows: CalibrationRecipe["windows"];
  readonly seed: number;
  /** Of the text and of tokenizer.json. */
  readonly textSha256: string;
  readonly tokenizerSha256: string;
  /** Of the ids. */
  readonly sha256: string;
}

export interface CalibrationTextOptions extends OpenModelOptions {
  /** A tokenizer.json or its folder; absent: the model's own. */
  readonly tokenizer?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Tokenises the text once, as much of it as windows can be of, with what the tokenizer puts before a
 * text, and takes windows.
 * Throws E_TEXT, E_TEXT_SHORT, E_TOKENIZER, E_LIMIT, E_VOCABULARY, E_TOKEN_ID, …
 */
export async function calibrationText(
  model: OpenedModel,
  facts: ModelFacts,
  recipe: CalibrationRecipe,
  options: CalibrationTextOptions,
  warn: (code: string, message: string) => void,
): Promise<CalibrationText> {
  const { data, field, nsamples, windows, seed } = recipe;
  if (data === undefined) {
    throw new SpInferError("E_STATS_MISSING", "there is no text to calibrate on", {
      hint: "name one with --calib TEXT, or data: under calibration: in the recipe",
    });
  }
  const positions = facts.positions ?? Number.POSITIVE_INFINITY;
  const seqlen = recipe.seqlen ?? Math.min(DEFAULT_LENGTH, positions);
  if (seqlen > positions) {
    throw new SpInferError("E_OPTION", `--seqlen: the model reads at most ${positions} tokens`, {
      found: String(seqlen),
      hint: `write --seqlen ${positions}, or leave it out`,
    });
  }
  const source = await tokenizerBytes(model, options);
  const { limits = DEFAULT_LIMITS, signal } = options;
  const text = await openTextSet(data, { field, limitBytes: limits.textBytes });
  const seconds = limits.tokenizerSeconds;
  const most = windows === "first" ? nsamples * seqlen : undefined;
  const made = { seconds, signal, most };
  const { tokenizer, ids: own } = await openAndTokenise(source, text.text, made);
  const warning = checkVocabulary(tokenizer, facts.vocabulary);
  if (warning !== undefined) warn("W_TOKENIZER", warning);
  const all = Int32Array.from([...tokenizer.prefix, ...own]);
  const choice = { samples: nsamples, length: seqlen, windows, seed };
  const ids = new Int32Array(nsamples * seqlen);
  for (const [i, begin] of windowBegins(all.length, choice).entries())
    ids.set(all.subarray(begin, begin + seqlen), i * seqlen);
  checkIds(ids, tokenizer, facts.vocabulary);
  return {
    ids,
    nsamples,
    seqlen,
    windows,
    seed,
    textSha256: text.sha256,
    tokenizerSha256: tokenizer.sha256,
    sha256: createHash("sha256").update(new Uint8Array(ids.buffer)).digest("hex"),
  };
}
