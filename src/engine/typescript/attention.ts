/** Causal attention, one query after the other, softmax in float64. */
import type { AttentionSpec } from "../../model/architectures/ops.ts";
import { dot, emptyMatrix, type Matrix } from "./matrix.ts";

/** query: [tokens, heads × size]; key and value: [tokens, keyHeads × size]. */
export function attend(
  query: Matrix,
  key: Matrix,
  value: Matrix,
  spec: AttentionSpec,
  length: number,
): Matrix {
  const out = emptyMatrix(query.rows, query.columns);
  const scores = new Float64Array(length);
  for (let begin = 0; begin < query.rows; begin += length) {
    for (let head = 0; head < spec.heads; head++) {
      for (let position = 0; position < length; position++) {
        attendOne({ query, key, value, out }, spec, { begin, head, position }, scores);
      }
    }
  }
  return out;
}

interface Operands {
  readonly query: Matrix;
  readonly key: Matrix;
  readonly value: Matrix;
  readonly out: Matrix;
}

interface Place {
  /** First token of the window. */
  readonly begin: number;
  readonly head: number;
  readonly position: number;
}

function attendOne(
  { query, key, value, out }: Operands,
  { heads, keyHeads, headSize, scale, window, softcap }: AttentionSpec,
  { begin, head, position }: Place,
  scores: Float64Array,
): void {
  const keyHead = Math.floor((head * keyHeads) / heads);
  const queryAt = (begin + position) * query.columns + head * headSize;
  const first = window === undefined ? 0 : Math.max(0, position - window + 1);
  let largest = Number.NEGATIVE_INFINITY;
  for (let other = first; other <= position; other++) {
    const keyAt = (begin + other) * key.columns + keyHead * headSize;
    const product = dot(query.values, queryAt, key.values, keyAt, headSize) * scale;
    const score = softcap === undefined ? product : softcap * Math.tanh(product / softcap);
    scores[other] = score;
    if (score > largest) largest = score;
  }
  let total = 0;
  for (let other = first; other <= position; other++) {
    const share = Math.exp(scores[other]! - largest);
    scores[other] = share;
    total += share;
  }
  for (let i = 0; i < headSize; i++) {
    let sum = 0;
    for (let other = first; other <= position; other++) {
      sum +=
        scores[other]! * value.values[(begin + other) * value.columns + keyHead * headSize + i]!;
    }
    out.values[queryAt + i] = sum / total;
  }
}
