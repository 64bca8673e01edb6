/**
 * Which tokens a model is calibrated on: windows of one length from a text's tokens.
 *
 *   first    disjoint windows from the beginning
 *   random   windows that begin anywhere, drawn with replacement as SparseGPT and Wanda draw theirs
 *
 * The generator of `random` is sfc32 with a state of (0x9e3779b9, 0x243f6a88, seed, 1) after twelve
 * rounds; a window begins at floor(u / 2^32 · (tokens − length + 1)) for the next 32 bits u.
 */
import { SpInferError } from "../../core/errors.ts";

export const WINDOW_RULES = ["first", "random"] as const;
export type WindowRule = (typeof WINDOW_RULES)[number];

export interface WindowChoice {
  readonly samples: number;
  readonly length: number;
  readonly windows: WindowRule;
  readonly seed: number;
}

/** Where each window begins. Throws E_TEXT_SHORT. */
export function windowBegins(tokens: number, choice: WindowChoice): number[] {
  const { samples, length, windows, seed } = choice;
  const needed = windows === "first" ? samples * length : length;
  if (tokens < needed) {
    const fitting = Math.floor(tokens / length);
    throw new SpInferError("E_TEXT_SHORT", `the calibration text has ${tokens} tokens`, {
      found: `${tokens} tokens`,
      expected: `at least ${needed} for ${samples} windows of ${length}`,
      hint:
        fitting > 0
          ? `write --nsamples ${fitting}, or --windows random to let windows overlap`
          : "give more text, or shorter windows with --seqlen",
    });
  }
  if (windows === "first") return Array.from({ length: samples }, (_, i) => i * length);
  const bits = sfc32(seed);
  const places = tokens - length + 1;
  return Array.from({ length: samples }, () => Math.floor((bits() / 2 ** 32) * places));
}

function sfc32(seed: number): () => number {
  let [a, b, c, counter] = [0x9e37_79b9, 0x243f_6a88, seed | 0, 1];
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  for (let round = 0; round < 12; round++) next();
  return next;
}
