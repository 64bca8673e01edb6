/**
 * Which tokens are read together and which of them are scored. A window is read on its own, from
 * position 0; token t of it is predicted from those before it in the window.
 *
 *   wanda      disjoint windows of ctx tokens, what is left at the end dropped, every token but the
 *              first of a window scored: the "WikiText-2 perplexity" of GPTQ, SparseGPT and Wanda
 *   llamacpp   the same windows, only the second half scored (tokens ctx/2+1 and on), the first token
 *              of each replaced by BOS: the perplexity tool of llama.cpp
 *   strided    windows that begin every stride tokens; a token is scored in the first window that has
 *              a token before it, so every token but the first is scored once, with at least
 *              ctx − stride tokens before it after the first window
 */
import { SpInferError } from "../core/errors.ts";

export const PROTOCOLS = ["wanda", "llamacpp", "strided"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** once: what the tokenizer adds, around the whole text; window: BOS instead of each first token. */
export const BOS_MODES = ["none", "once", "window"] as const;
export type BosMode = (typeof BOS_MODES)[number];

export interface WindowOptions {
  readonly protocol: Protocol;
  readonly ctx?: number | undefined;
  readonly stride?: number | undefined;
  readonly bos?: BosMode | undefined;
  readonly maxWindows?: number | undefined;
}

/** The text's tokens, and what the tokenizer puts around a text. */
export interface TokenisedText {
  readonly ids: Int32Array;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly bos: number | undefined;
}

/** ids[begin..end); scored from the window's token `scoreFrom` (at least 1) to its last. */
export interface Window {
  readonly begin: number;
  readonly end: number;
  readonly scoreFrom: number;
}

export interface WindowPlan {
  readonly protocol: Protocol;
  readonly ctx: number;
  /** Tokens from the beginning of one window to that of the next. */
  readonly stride: number;
  readonly bos: BosMode;
  /** The token in question; undefined with bos "none", or where the tokenizer adds nothing. */
  readonly bosId: number | undefined;
  /**
   * Of the text, with what was put around it: the whole of it, or with `maxWindows` as far as the
   * last window goes.
   */
  readonly ids: Int32Array;
  readonly windows: readonly Window[];
  /** Predictions in all windows. */
  readonly scored: number;
}

const DEFAULT_CTX: Readonly<Record<Protocol, number>> = {
  wanda: 2048,
  llamacpp: 512,
  strided: 2048,
};
/** Fewer tokens predict nothing: two, and in llama.cpp's halves four. */
const LEAST_CTX: Readonly<Record<Protocol, number>> = { wanda: 2, llamacpp: 4, strided: 2 };

/**
 * How many tokens of a text are read at most; undefined: all. `positions` as below. Throws E_OPTION
 * and E_USAGE.
 */
export function tokensRead(
  options: WindowOptions,
  positions: number | undefined,
): number | undefined {
  const ctx = windowLength(options, positions);
  const stride = strideOf(options, ctx);
  const { maxWindows } = options;
  return maxWindows === undefined ? undefined : (maxWindows - 1) * stride + ctx;
}

/**
 * `text`: as many tokens of it as `tokensRead` says. `positions`: the longest window that the model
 * can read; absent: any. Throws E_OPTION, E_USAGE and E_TEXT_SHORT.
 */
export function planWindows(
  text: TokenisedText,
  options: WindowOptions,
  positions: number | undefined,
): WindowPlan {
  const { protocol } = options;
  const ctx = windowLength(options, positions);
  const stride = strideOf(options, ctx);
  const { bos, bosId } = bosOf(text, options);
  const all =
    bos === "none" ? text.ids : Int32Array.from([...text.prefix, ...text.ids, ...text.suffix]);
  const windows = (
    protocol === "strided"
      ? stridedWindows(all.length, ctx, stride)
      : disjoint(all.length, ctx, protocol)
  ).slice(0, options.maxWindows);
  if (windows.length === 0) {
    const least = protocol === "strided" ? 2 : ctx;
    throw new SpInferError(
      "E_TEXT_SHORT",
      `the text has ${all.length} tokens, fewer than a window`,
      {
        expected: `at least ${least} tokens`,
        hint:
          protocol === "strided" ? "give a longer text" : "give a longer text, or a smaller --ctx",
      },
    );
  }
  // whether more of the text was given makes no difference
  const ids = windows.length === options.maxWindows ? all.subarray(0, windows.at(-1)!.end) : all;
  const scored = windows.reduce(
    (sum, { begin, end, scoreFrom }) => sum + end - begin - scoreFrom,
    0,
  );
  return { protocol, ctx, stride, bos, bosId, ids, windows, scored };
}

function windowLength(
  { protocol, ctx }: WindowOptions,
  positions: number = Number.POSITIVE_INFINITY,
): number {
  if (ctx === undefined) return Math.min(DEFAULT_CTX[protocol], positions);
  if (ctx < LEAST_CTX[protocol]) {
    throw new SpInferError("E_OPTION", `--ctx: ${ctx} tokens predict nothing`, {
      expected: `at least ${LEAST_CTX[protocol]} with --protocol ${protocol}`,
    });
  }
  if (ctx > positions) {
    throw new SpInferError("E_OPTION", `--ctx: the model reads at most ${positions} tokens`, {
      found: String(ctx),
      hint: `write --ctx ${positions}, or leave it out`,
    });
  }
  return ctx;
}

function strideOf({ protocol, stride }: WindowOptions, ctx: number): number {
  if (protocol !== "strided") {
    if (stride === undefined) return ctx;
    throw new SpInferError("E_USAGE", `--stride is not used with --protocol ${protocol}`, {
      hint: "its windows are disjoint; overlapping ones have --protocol strided",
    });
  }
  if (stride === undefined) return Math.max(1, Math.floor(ctx / 2));
  if (stride <= ctx) return stride;
  throw new SpInferError("E_OPTION", `--stride: ${stride} would leave tokens out`, {
    expected: `at most the window, ${ctx}`,
  });
}

function bosOf(
  { prefix, bos: token }: TokenisedText,
  { protocol, bos }: WindowOptions,
): { bos: BosMode; bosId: number | undefined } {
  // llama.cpp replaces first tokens where its tokenizer would put a BOS before a text
  const usual = protocol !== "llamacpp" ? "once" : prefix.length > 0 ? "window" : "none";
  const mode = bos ?? usual;
  if (mode === "none") return { bos: mode, bosId: undefined };
  if (mode === "once") return { bos: mode, bosId: prefix[0] };
  if (token === undefined) {
    throw new SpInferError(
      "E_OPTION",
      "--bos window: the tokenizer has no token that begins texts",
      {
        expected: "bos_token in tokenizer_config.json, or a template that begins with one",
        hint: "write --bos none",
      },
    );
  }
  return { bos: mode, bosId: token };
}

function disjoint(tokens: number, ctx: number, protocol: Protocol): Window[] {
  const scoreFrom = protocol === "llamacpp" ? Math.floor(ctx / 2) + 1 : 1;
  return Array.from({ length: Math.floor(tokens / ctx) }, (_, i) => ({
    begin: i * ctx,
    end: (i + 1) * ctx,
    scoreFrom,
  }));
}

function stridedWindows(tokens: number, ctx: number, stride: number): Window[] {
  const windows: Window[] = [];
  let scoredTo = 0;
  for (let begin = 0; scoredTo < tokens; begin += stride) {
    const end = Math.min(begin + ctx, tokens);
    const scoreFrom = Math.max(1, scoredTo - begin);
    // a lone token at the end has nothing before it
    if (begin + scoreFrom < end) windows.push({ begin, end, scoreFrom });
    scoredTo = end;
  }
  return windows;
}

/** The ids that a window is read with. */
export function windowIds({ ids, bos, bosId }: WindowPlan, { begin, end }: Window): Int32Array {
  const read = ids.slice(begin, end);
  if (bos === "window" && bosId !== undefined) read[0] = bosId;
  return read;
}
