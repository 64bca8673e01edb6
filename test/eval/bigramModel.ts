/**
 * A model that knows only the token before: its losses can be worked out on paper. Hidden states
 * are one-hot rows, blocks hand them through, the head is the table of logits.
 */
import type { RunnableModel } from "../../src/engine/engine.ts";
import { createRandom } from "../helpers/random.ts";

export interface Calls {
  /** Index of each block that was opened, in order. */
  readonly opened: number[];
  open: number;
  mostOpen: number;
  /** Hidden states that one call was given, at most. */
  largestBatch: number;
  largestLogits: number;
}

export interface BigramOptions {
  readonly vocabulary?: number;
  readonly blocks?: number;
  readonly positions?: number;
  readonly seed?: number;
  /** What running a block throws. */
  readonly failure?: { readonly block: number; readonly error: Error };
  /** Logits, row by row of the token before; random ones without. */
  readonly table?: Float32Array;
}

export function randomTable(vocabulary: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: vocabulary ** 2 }, () => 4 * random.next());
}

export function bigramModel(options: BigramOptions = {}): RunnableModel & { calls: Calls } {
  const { vocabulary = 11, blocks = 2, positions = 1e9, seed = 1, failure } = options;
  const table = options.table ?? randomTable(vocabulary, seed);
  const calls: Calls = { opened: [], open: 0, mostOpen: 0, largestBatch: 0, largestLogits: 0 };
  const logits = (hidden: Float32Array): Float32Array => {
    const rows = hidden.length / vocabulary;
    const out = new Float32Array(rows * vocabulary);
    for (let row = 0; row < rows; row++) {
      const token = hidden.subarray(row * vocabulary, (row + 1) * vocabulary).indexOf(1);
      out.set(table.subarray(token * vocabulary, (token + 1) * vocabulary), row * vocabulary);
    }
    return out;
  };
  return {
    calls,
    engine: "typescript",
    facts: { family: "bigram", blocks, hidden: vocabulary, vocabulary, positions },
    async embed(ids) {
      const hidden = new Float32Array(ids.length * vocabulary);
      for (const [i, id] of ids.entries()) hidden[i * vocabulary + id] = 1;
      return hidden;
    },
    async openBlock(index) {
      calls.opened.push(index);
      calls.mostOpen = Math.max(calls.mostOpen, ++calls.open);
      return {
        async run(hidden) {
          calls.largestBatch = Math.max(calls.largestBatch, hidden.length);
          if (failure?.block === index) throw failure.error;
          return { hidden: hidden.slice(), observed: new Map() };
        },
        observe: async () => undefined,
        async close() {
          calls.open--;
        },
      };
    },
    async score(hidden, targets) {
      const all = logits(hidden);
      const losses = Float64Array.from(targets, (target, row) =>
        lossOf(all.subarray(row * vocabulary, (row + 1) * vocabulary), target),
      );
      return losses;
    },
    async logits(hidden) {
      calls.largestLogits = Math.max(calls.largestLogits, hidden.length);
      return logits(hidden);
    },
    async close() {},
  };
}

/** −ln softmax(logits)[target], written as plainly as can be. */
export function lossOf(logits: Float32Array, target: number): number {
  let total = 0;
  for (const logit of logits) total += Math.exp(logit);
  return Math.log(total) - logits[target]!;
}
