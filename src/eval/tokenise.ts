/**
 * Tokenises a text in a thread of its own. The expressions of a tokenizer.json come from strangers
 * and run on an engine that backtracks: one can take for ever on a line of text. There it blocks
 * nobody, is stopped by a signal at once, and by a time that no tokenizer needs.
 */
import { Worker } from "node:worker_threads";
import { type ErrorRecord, SpInferError, toSpInferError } from "../core/errors.ts";
import { formatDuration } from "../core/text.ts";
import { openTokenizer, type Tokenizer, type TokenizerBytes } from "./tokenizer.ts";

/** Sources run as TypeScript (in tests) have no worker file that Node can load. */
const INLINE = import.meta.url.endsWith(".ts");

export interface TokeniserWork {
  readonly source: TokenizerBytes;
  readonly text: string;
  readonly most: number | undefined;
}

export type TokeniserAnswer = { readonly ids: Int32Array } | { readonly error: ErrorRecord };

export interface TokeniseOptions {
  /** Seconds for a million characters, and for less; see `tokenizerSeconds` in core/limits.ts. */
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  /** No more than so many of the text's first tokens; absent: all. */
  readonly most?: number | undefined;
}

/**
 * The text's own token ids. Throws what opening and using the tokenizer throw (E_TOKENIZER), E_LIMIT
 * when it takes too long, E_WORKER when its thread ends, and the signal's reason.
 */
export async function tokenise(
  { source, encode }: Pick<Tokenizer, "source" | "encode">,
  text: string,
  options: TokeniseOptions,
): Promise<Int32Array> {
  options.signal?.throwIfAborted();
  return INLINE ? encode(text, options.most) : await inThread(source, text, options);
}

/** Opens a tokenizer while a thread makes a text's ids with it. Throws as `tokenise`. */
export async function openAndTokenise(
  source: TokenizerBytes,
  text: string,
  options: TokeniseOptions,
): Promise<{ readonly tokenizer: Tokenizer; readonly ids: Int32Array }> {
  if (INLINE) {
    const tokenizer = openTokenizer(source);
    return { tokenizer, ids: await tokenise(tokenizer, text, options) };
  }
  const stop = new AbortController();
  const signals = options.signal === undefined ? [] : [options.signal];
  const signal = AbortSignal.any([...signals, stop.signal]);
  signal.throwIfAborted();
  const made = inThread(source, text, { ...options, signal });
  try {
    const tokenizer = openTokenizer(source);
    return { tokenizer, ids: await made };
  } catch (error) {
    stop.abort(error);
    await made.catch(() => undefined); // the thread has ended
    throw error;
  }
}

async function inThread(
  source: TokenizerBytes,
  text: string,
  { seconds, signal, most }: TokeniseOptions,
): Promise<Int32Array> {
  const work: TokeniserWork = { source, text, most };
  const worker = new Worker(new URL("./tokenizerThread.js", import.meta.url), { workerData: work });
  const allowedMs = 1000 * seconds * Math.max(1, text.length / 1e6);
  let timer: NodeJS.Timeout | undefined;
  let onAbort = (): void => undefined;
  try {
    return await new Promise<Int32Array>((resolve, reject) => {
      onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      timer = setTimeout(() => reject(takesTooLong(source.path, text, allowedMs)), allowedMs);
      worker.on("message", (answer: TokeniserAnswer) => {
        if ("ids" in answer) resolve(answer.ids);
        else reject(SpInferError.fromRecord(answer.error));
      });
      worker.on("error", (error) => reject(toSpInferError(error, { path: source.path })));
      worker.on("exit", (code) => {
        reject(new SpInferError("E_WORKER", `the tokenizer's thread ended with code ${code}`));
      });
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    await worker.terminate();
  }
}

function takesTooLong(path: string, text: string, ms: number): SpInferError {
  return new SpInferError("E_LIMIT", `${path}: it takes too long to tokenise the text`, {
    path,
    found: `not done after ${formatDuration(ms)}, with ${text.length.toLocaleString("en-US")} characters`,
    expected: "about a second for a million characters",
    hint: "an expression in it may backtrack for ever: take the tokenizer of the model's own page, or give it more time with --limit tokenizerSeconds=N",
  });
}
