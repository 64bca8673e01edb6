/**
 * The ops as nodes of an ONNX graph: nothing is computed here. Weights are inputs of the graph, so
 * that one session serves all blocks of the same structure.
 */
import type { Activation, AttentionSpec, Ops, RotaryTable } from "../../model/architectures/ops.ts";
import { rotaryCaches } from "../../model/architectures/rotary.ts";
import type { WeightSlot } from "../../model/architectures/survey.ts";
import type { GraphBuilder, Value } from "./graphBuilder.ts";

export interface Traced {
  readonly name: Value;
  readonly columns: number;
}

/** A tensor that the graph is fed with besides weights and hidden states. */
export interface Constant {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface Trace {
  readonly ops: Ops<Traced>;
  /** Names of the weights that read each value, by the value's name. */
  readonly readers: ReadonlyMap<string, { readonly columns: number; readonly weights: string[] }>;
  readonly constants: ReadonlyMap<string, Constant>;
  /** Whether positions [windows, length] are an input. */
  readonly usesPositions: () => boolean;
}

/**
 * Queries that are multiplied with the keys before them together. Later keys are left out, which
 * saves nearly half of the work; measured on windows of 512 and 2048 tokens.
 */
const QUERY_ROWS = 128;

/** Added to scores that may not be seen. */
const HIDDEN = -1e30;

export const POSITIONS = "positions";

export function traceOps(graph: GraphBuilder, slots: readonly WeightSlot[], length: number): Trace {
  const shapes = new Map(slots.map(({ name, shape }) => [name, shape]));
  const weight = (name: string): Value => graph.input(`weight:${name}`, shapes.get(name)!);
  const readers = new Map<string, { columns: number; weights: string[] }>();
  const constants = new Map<string, Constant>();
  const caches = new Map<RotaryTable, { cosine: Value; sine: Value }>();
  let usesPositions = false;

  const reshape = (value: Value, shape: readonly number[]): Value =>
    graph.add("Reshape", [value, graph.whole(shape)]);
  const cachesOf = (table: RotaryTable) => {
    const known = caches.get(table);
    if (known !== undefined) return known;
    const { cosine, sine } = rotaryCaches(table, length);
    const shape = [length, table.columns / 2];
    const made = { cosine: graph.floats(cosine, shape), sine: graph.floats(sine, shape) };
    caches.set(table, made);
    return made;
  };
  const unary = (input: Traced, name: Value): Traced => ({ name, columns: input.columns });
  const unused = (): never => {
    throw new Error("tables are looked up outside the graph");
  };

  const ops: Ops<Traced> = {
    embedding: unused,
    positions: unused,
    linear(input, spec) {
      const seen = readers.get(input.name) ?? { columns: input.columns, weights: [] };
      seen.weights.push(spec.weight);
      readers.set(input.name, seen);
      const bias = spec.bias === undefined ? [] : [weight(spec.bias)];
      const transB = spec.layout === "in-out" ? 0 : 1;
      const name = graph.add("Gemm", [input.name, weight(spec.weight), ...bias], { transB });
      return { name, columns: spec.outputs };
    },
    rmsNorm(input, { weight: name, size, epsilon, addOne }) {
      const factor =
        addOne === true ? graph.add("Add", [weight(name), graph.scalar(1)]) : weight(name);
      const rows = size === input.columns ? input.name : reshape(input.name, [-1, size]);
      const normed = graph.add("RMSNormalization", [rows, factor], {
        axis: -1,
        epsilon: { float: epsilon },
      });
      return unary(input, size === input.columns ? normed : reshape(normed, [-1, input.columns]));
    },
    layerNorm(input, { weight: name, bias, size, epsilon }) {
      const factor =
        name === undefined ? graph.floats(new Float32Array(size).fill(1), [size]) : weight(name);
      const inputs = [input.name, factor, ...(bias === undefined ? [] : [weight(bias)])];
      const attributes = { axis: -1, epsilon: { float: epsilon } };
      return unary(input, graph.add("LayerNormalization", inputs, attributes));
    },
    rotary(input, { headSize, table }) {
      usesPositions = true;
      const positions = graph.input(POSITIONS, ["windows", length], "int64");
      const { cosine, sine } = cachesOf(table);
      const windows = reshape(input.name, [-1, length, input.columns]);
      const turned = graph.add("RotaryEmbedding", [windows, cosine, sine, positions], {
        num_heads: input.columns / headSize,
        rotary_embedding_dim: table.columns === headSize ? 0 : table.columns,
      });
      return unary(input, reshape(turned, [-1, input.columns]));
    },
    attention(query, key, value, spec) {
      const mask = maskOf(spec.window, length);
      constants.set(mask.name, mask);
      graph.input(mask.name, mask.shape);
      const name = traceAttention(graph, { query, key, value, mask, length }, spec);
      return { name, columns: query.columns };
    },
    activate: (input, activation) => unary(input, traceActivation(graph, input.name, activation)),
    add: (left, right) => unary(left, graph.add("Add", [left.name, right.name])),
    multiply: (left, right) => unary(left, graph.add("Mul", [left.name, right.name])),
    scale: (input, factor) => unary(input, graph.add("Mul", [input.name, graph.scalar(factor)])),
    softcap: (input, cap) => unary(input, traceSoftcap(graph, input.name, cap)),
    columns(input, { groups, width, begin, end }) {
      const range = [graph.whole([begin]), graph.whole([end])];
      if (groups === 1) {
        const name = graph.add("Slice", [input.name, ...range, graph.whole([1])]);
        return { name, columns: end - begin };
      }
      const grouped = reshape(input.name, [-1, groups, width]);
      const cut = graph.add("Slice", [grouped, ...range, graph.whole([2])]);
      const columns = groups * (end - begin);
      return { name: reshape(cut, [-1, columns]), columns };
    },
  };
  return { ops, readers, constants, usesPositions: () => usesPositions };
}

function traceActivation(graph: GraphBuilder, input: Value, activation: Activation): Value {
  if (activation === "relu") return graph.add("Relu", [input]);
  if (activation === "silu") {
    return graph.add("QuickGelu", [input], { alpha: { float: 1 } }, { microsoft: true });
  }
  return graph.add("Gelu", [input], {
    approximate: activation === "gelu-tanh" ? "tanh" : "none",
  });
}

function traceSoftcap(graph: GraphBuilder, input: Value, cap: number): Value {
  const small = graph.add("Mul", [input, graph.scalar(1 / cap)]);
  return graph.add("Mul", [graph.add("Tanh", [small]), graph.scalar(cap)]);
}

interface AttentionInputs {
  readonly query: Traced;
  readonly key: Traced;
  readonly value: Traced;
  readonly mask: Mask;
  readonly length: number;
}

/** Rows of queries of the mask, and keys from `back` before the first of them to the last. */
interface Mask extends Constant {
  readonly rows: number;
  readonly back: number;
}

/** What must not be seen of the keys around a run of queries; the same for every run. */
function maskOf(window: number | undefined, length: number): Mask {
  const rows = Math.min(QUERY_ROWS, length);
  const lastBegin = Math.floor((length - 1) / rows) * rows;
  const back = Math.min(lastBegin, window === undefined ? lastBegin : window - 1);
  const columns = back + rows;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const ahead = column - back - row;
      const seen = ahead <= 0 && (window === undefined || ahead > -window);
      values[row * columns + column] = seen ? 0 : HIDDEN;
    }
  }
  const name = `mask:${window ?? "all"}`;
  return { name, shape: [rows, columns], values, rows, back };
}

/**
 * Scores of heads that share keys lie under one another: one product for the group, or two of half
 * the rows, so that an odd number of heads divides between two threads.
 */
function traceAttention(
  graph: GraphBuilder,
  { query, key, value, mask, length }: AttentionInputs,
  spec: AttentionSpec,
): Value {
  const { heads, keyHeads, headSize } = spec;
  const group = heads / keyHeads;
  const reshape = (from: Value, shape: readonly number[]): Value =>
    graph.add("Reshape", [from, graph.whole(shape)]);
  const slice = (from: Value, axis: number, begin: number, end: number, size: number): Value =>
    begin === 0 && end === size
      ? from
      : graph.add("Slice", [from, graph.whole([begin]), graph.whole([end]), graph.whole([axis])]);
  const queries = graph.add(
    "Transpose",
    [reshape(query.name, [-1, length, keyHeads, group, headSize])],
    { perm: [0, 2, 3, 1, 4] },
  );
  const alone = [-1, length, keyHeads, 1, headSize];
  const keys = graph.add("Transpose", [reshape(key.name, alone)], { perm: [0, 2, 3, 4, 1] });
  const values = graph.add("Transpose", [reshape(value.name, alone)], { perm: [0, 2, 3, 1, 4] });
  const parts: Value[] = [];
  for (let begin = 0; begin < length; begin += mask.rows) {
    const end = Math.min(begin + mask.rows, length);
    const rows = end - begin;
    const first = Math.max(0, begin - mask.back);
    const some = slice(queries, 3, begin, end, length);
    const halves = (group * rows) % 2 === 0 ? 2 : 1;
    const stacked = [-1, keyHeads, halves, (group * rows) / halves];
    const scores = graph.add(
      "FusedMatMul",
      [reshape(some, [...stacked, headSize]), slice(keys, 4, first, end, length)],
      { alpha: { float: spec.scale } },
      { microsoft: true },
    );
    const capped = spec.softcap === undefined ? scores : traceSoftcap(graph, scores, spec.softcap);
    const maskColumns = [mask.back + first - begin, mask.back + rows] as const;
    const ofRows = slice(mask.name, 0, 0, rows, mask.rows);
    const ofColumns = slice(ofRows, 1, ...maskColumns, mask.back + mask.rows);
    const grouped = reshape(capped, [-1, keyHeads, group, rows, end - first]);
    const shares = graph.add("Softmax", [graph.add("Add", [grouped, ofColumns])], { axis: -1 });
    const mixed = graph.add("MatMul", [
      reshape(shares, [...stacked, end - first]),
      slice(values, 3, first, end, length),
    ]);
    parts.push(reshape(mixed, [-1, keyHeads, group, rows, headSize]));
  }
  const all = parts.length === 1 ? parts[0]! : graph.add("Concat", parts, { axis: 3 });
  const inOrder = graph.add("Transpose", [all], { perm: [0, 3, 1, 2, 4] });
  return reshape(inOrder, [-1, heads * headSize]);
}
