/** Sparsity patterns: unstructured, or N of every M consecutive inputs. */
import { SpInferError } from "../src/core/errors.ts";

export type Pattern =
  | { readonly kind: "unstructured" }
  | { readonly kind: "n:m"; readonly n: number; readonly m: number };

export const UNSTRUCTURED: Pattern = { kind: "unstructured" };
const MAX_M = 32;

/**
 * "unstructured" or "N:M": at most N of every M consecutive inputs of an output are kept, as in
 * NVIDIA's 2:4 (arXiv:2104.08378). Throws E_OPTION.
 */
export function parsePattern(text: string): Pattern {
  if (text === "unstructured") return UNSTRUCTURED;
  const match = /^(\d{1,4}):(\d{1,4})$/.exec(text);
  const n = Number(match?.[1]);
  const m = Number(match?.[2]);
  if (match === null || n < 1 || n >= m || m > MAX_M) {
    throw new SpInferError("E_OPTION", `pattern "${text}" is not a sparsity pattern`, {
      expected: `unstructured, or N:M with 1 ≤ N < M ≤ ${MAX_M}, such as 2:4`,
    });
  }
  return { kind: "n:m", n, m };
}

export function patternName(pattern: Pattern): string {
  return pattern.kind === "unstructured" ? "unstructured" : `${pattern.n}:${pattern.m}`;
}

/** Weights left of a row of `cols` by N:M; a shorter last group keeps up to N too. */
export function keptByPattern(cols: number, n: number, m: number): number {
  return Math.floor(cols / m) * n + Math.min(n, cols % m);
}

/** How many of `count` go at this sparsity: the floor, as in the papers' reference code. */
export function dropCount(count: number, sparsity: number): number {
  return Math.min(count, Math.floor(count * sparsity));
}

/** What is left where the count does not depend on the weights. */
export function exactly(count: number): { readonly most: number; readonly expected: number } {
  return { most: count, expected: count };
}
