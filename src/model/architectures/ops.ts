/**
 * The port that architectures are written against: the operations of a decoder, on tensors that
 * only the engine can look into. All tensors are matrices [tokens, columns]; the tokens of a batch
 * are those of its windows, one window after the other, all of the same length.
 *
 * Weights are named, not passed: the engine finds them in the checkpoint, dense or packed, so that
 * sparsity enters in `linear` and nowhere else.
 */
import type { Orientation } from "../roles.ts";

export type Activation = "silu" | "gelu" | "gelu-tanh" | "relu";

export interface LinearSpec {
  readonly weight: string;
  readonly bias?: string | undefined;
  /** Columns of the input and of the output. */
  readonly inputs: number;
  readonly outputs: number;
  /** How the matrix is stored; "out-in" when absent. */
  readonly layout?: Orientation;
}

export interface EmbeddingSpec {
  readonly weight: string;
  readonly rows: number;
  readonly columns: number;
}

export interface PositionSpec extends EmbeddingSpec {
  /** Row of the first position. */
  readonly offset: number;
}

export interface RmsNormSpec {
  readonly weight: string;
  /** Columns that are normalised together: all of them, or those of one head. */
  readonly size: number;
  readonly epsilon: number;
  /** Multiply by 1 + weight. */
  readonly addOne?: boolean;
}

export interface LayerNormSpec {
  /** Absent: nothing is multiplied or added. */
  readonly weight?: string | undefined;
  readonly bias?: string | undefined;
  readonly size: number;
  readonly epsilon: number;
}

export interface RotaryTable {
  /** Columns of each head that are turned; even. */
  readonly columns: number;
  /** Radians a position for windows of `length`, one for each pair of columns. */
  frequencies(length: number): Float32Array;
  /** What sine and cosine are multiplied by. */
  readonly scale: number;
}

export interface RotarySpec {
  readonly headSize: number;
  readonly table: RotaryTable;
}

export interface AttentionSpec {
  readonly heads: number;
  /** Heads of keys and values; each serves heads / keyHeads heads of queries. */
  readonly keyHeads: number;
  readonly headSize: number;
  /** Of the products of queries and keys. */
  readonly scale: number;
  /** Positions that one sees, itself among them; absent: all before it. */
  readonly window?: number | undefined;
  /** Scores s become cap · tanh(s / cap). */
  readonly softcap?: number | undefined;
}

export interface ColumnsSpec {
  /** The columns are this many groups of the same width. */
  readonly groups: number;
  readonly width: number;
  /** Of each group, begin..end is kept. */
  readonly begin: number;
  readonly end: number;
}

export interface Ops<Tensor> {
  /** Rows of a table by token ids. */
  embedding(ids: Tensor, spec: EmbeddingSpec): Tensor;
  /** Rows of a table by positions in the window, for every token of the batch. */
  positions(spec: PositionSpec): Tensor;
  linear(input: Tensor, spec: LinearSpec): Tensor;
  /** x · weight / √(mean x² + ε) */
  rmsNorm(input: Tensor, spec: RmsNormSpec): Tensor;
  /** (x − mean) / √(variance + ε) · weight + bias */
  layerNorm(input: Tensor, spec: LayerNormSpec): Tensor;
  /** Turns the pairs (i, i + n/2) of the first n columns of each head by position · frequency. */
  rotary(input: Tensor, spec: RotarySpec): Tensor;
  /** Causal softmax(q kᵀ · scale) v of each head. */
  attention(query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec): Tensor;
  activate(input: Tensor, activation: Activation): Tensor;
  add(left: Tensor, right: Tensor): Tensor;
  multiply(left: Tensor, right: Tensor): Tensor;
  scale(input: Tensor, factor: number): Tensor;
  /** cap · tanh(x / cap) */
  softcap(input: Tensor, cap: number): Tensor;
  columns(input: Tensor, spec: ColumnsSpec): Tensor;
}

/** A part of a model as a sequence of ops. */
export interface Part {
  /** What the names of its weights begin with in the checkpoint. */
  readonly prefix: string;
  readonly body: <Tensor>(ops: Ops<Tensor>, input: Tensor) => Tensor;
}
