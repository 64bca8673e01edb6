/** Norms, rotary embedding and activations of the plain engine. */
import type {
  Activation,
  LayerNormSpec,
  RmsNormSpec,
  RotarySpec,
} from "../../model/architectures/ops.ts";
import { rotaryCaches } from "../../model/architectures/rotary.ts";
import { emptyMatrix, type Matrix } from "./matrix.ts";

export function rmsNormed(
  input: Matrix,
  weight: Float32Array,
  { size, epsilon, addOne = false }: Omit<RmsNormSpec, "weight">,
): Matrix {
  const out = emptyMatrix(input.rows, input.columns);
  const more = addOne ? 1 : 0;
  for (let at = 0; at < input.values.length; at += size) {
    let squares = 0;
    for (let i = 0; i < size; i++) squares += input.values[at + i]! ** 2;
    const factor = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) {
      out.values[at + i] = input.values[at + i]! * factor * (more + weight[i]!);
    }
  }
  return out;
}

export function layerNormed(
  input: Matrix,
  weight: Float32Array | undefined,
  bias: Float32Array | undefined,
  { size, epsilon }: Pick<LayerNormSpec, "size" | "epsilon">,
): Matrix {
  const out = emptyMatrix(input.rows, input.columns);
  for (let at = 0; at < input.values.length; at += size) {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += input.values[at + i]!;
    const mean = sum / size;
    let squares = 0;
    for (let i = 0; i < size; i++) squares += (input.values[at + i]! - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) {
      const normed = (input.values[at + i]! - mean) * factor;
      out.values[at + i] = normed * (weight?.[i] ?? 1) + (bias?.[i] ?? 0);
    }
  }
  return out;
}

export function rotated(input: Matrix, { headSize, table }: RotarySpec, length: number): Matrix {
  const { cosine, sine } = rotaryCaches(table, length);
  const pairs = table.columns / 2;
  const out: Matrix = { ...input, values: input.values.slice() };
  for (let row = 0; row < input.rows; row++) {
    const turn = (row % length) * pairs;
    for (let head = 0; head < input.columns; head += headSize) {
      const at = row * input.columns + head;
      for (let i = 0; i < pairs; i++) {
        const first = input.values[at + i]!;
        const second = input.values[at + pairs + i]!;
        out.values[at + i] = first * cosine[turn + i]! - second * sine[turn + i]!;
        out.values[at + pairs + i] = second * cosine[turn + i]! + first * sine[turn + i]!;
      }
    }
  }
  return out;
}

const ACTIVATIONS: { readonly [Name in Activation]: (x: number) => number } = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  "gelu-tanh": (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x) => Math.max(x, 0),
};

export function activated(input: Matrix, activation: Activation): Matrix {
  return mapped(input, ACTIVATIONS[activation]);
}

export function mapped(input: Matrix, change: (value: number) => number): Matrix {
  return { ...input, values: input.values.map(change) };
}

export function combined(
  left: Matrix,
  right: Matrix,
  combine: (left: number, right: number) => number,
): Matrix {
  return { ...left, values: left.values.map((value, i) => combine(value, right.values[i]!)) };
}

/**
 * The error function to about 1e-16: its Taylor series near 0, the continued fraction of its
 * complement beyond (Abramowitz and Stegun 7.1.5 and 7.1.14).
 */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size > 2.5) {
    let fraction = size;
    for (let k = 60; k >= 1; k--) fraction = size + k / 2 / fraction;
    return Math.sign(x) * (1 - Math.exp(-size * size) / (fraction * Math.sqrt(Math.PI)));
  }
  let term = size;
  let sum = size;
  for (let n = 1; Math.abs(term) > 1e-18 * sum; n++) {
    term *= (-size * size) / n;
    sum += term / (2 * n + 1);
  }
  return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
}
