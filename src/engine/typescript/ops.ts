/** The ops in plain TypeScript, done at once: the oracle of the other engine, and its fallback. */
import { SpInferError } from "../../core/errors.ts";
import { widenHalves } from "../../core/half.ts";
import type { Ops } from "../../model/architectures/ops.ts";
import type { DenseTensor, HalfTensor } from "../engine.ts";
import { attend } from "./attention.ts";
import { activated, combined, layerNormed, mapped, rmsNormed, rotated } from "./elementwise.ts";
import { emptyMatrix, type Matrix, multiplyTransposed, transposed } from "./matrix.ts";

/** One run of a part over a batch of windows. */
export interface PlainRun {
  /** Tokens of the batch, and of each of its windows. */
  readonly tokens: number;
  readonly length: number;
  readonly weights: ReadonlyMap<string, DenseTensor>;
  /** Matrices of 16 bits, which are not among the weights. */
  readonly halves?: ReadonlyMap<string, HalfTensor> | undefined;
  /** Told of the input of every linear layer, by its weight's name. */
  readonly onInput?: (weight: string, input: Matrix) => void;
}

/** Ids are the values of a matrix [tokens, 1]: below 2^24 float32 holds them exactly. */
export function plainOps({ tokens, length, weights, halves, onInput }: PlainRun): Ops<Matrix> {
  const weight = (name: string): DenseTensor => {
    const found = weights.get(name) ?? widened(halves?.get(name));
    if (found === undefined) throw new SpInferError("E_INTERNAL", `weight ${name} is not loaded`);
    return found;
  };
  const optional = (name: string | undefined) =>
    name === undefined ? undefined : weight(name).values;
  const gather = (name: string, columns: number, rowOf: (token: number) => number): Matrix => {
    const table = halves?.get(name) ?? weight(name);
    const out = emptyMatrix(tokens, columns);
    for (let token = 0; token < tokens; token++) {
      const at = rowOf(token) * columns;
      const row = out.values.subarray(token * columns, (token + 1) * columns);
      if ("values" in table) row.set(table.values.subarray(at, at + columns));
      else widenHalves(table.halves.subarray(at, at + columns), table.dtype, row);
    }
    return out;
  };
  return {
    embedding: (ids, spec) => gather(spec.weight, spec.columns, (token) => ids.values[token]!),
    positions: (spec) =>
      gather(spec.weight, spec.columns, (token) => (token % length) + spec.offset),
    linear(input, spec) {
      onInput?.(spec.weight, input);
      const { values } = weight(spec.weight);
      const outFirst =
        spec.layout === "in-out" ? transposed(values, spec.inputs, spec.outputs) : values;
      return multiplyTransposed(input, outFirst, spec.outputs, optional(spec.bias));
    },
    rmsNorm: (input, spec) => rmsNormed(input, weight(spec.weight).values, spec),
    layerNorm: (input, spec) =>
      layerNormed(input, optional(spec.weight), optional(spec.bias), spec),
    rotary: (input, spec) => rotated(input, spec, length),
    attention: (query, key, value, spec) => attend(query, key, value, spec, length),
    activate: activated,
    add: (left, right) => combined(left, right, (a, b) => a + b),
    multiply: (left, right) => combined(left, right, (a, b) => a * b),
    scale: (input, factor) => mapped(input, (value) => value * factor),
    softcap: (input, cap) => mapped(input, (value) => cap * Math.tanh(value / cap)),
    columns(input, { groups, width, begin, end }) {
      const kept = end - begin;
      const out = emptyMatrix(input.rows, groups * kept);
      for (let group = 0; group < input.rows * groups; group++) {
        const at = group * width;
        out.values.set(input.values.subarray(at + begin, at + end), group * kept);
      }
      return out;
    },
  };
}

function widened(tensor: HalfTensor | undefined): DenseTensor | undefined {
  if (tensor === undefined) return undefined;
  const values = new Float32Array(tensor.halves.length);
  widenHalves(tensor.halves, tensor.dtype, values);
  return { shape: tensor.shape, values };
}
