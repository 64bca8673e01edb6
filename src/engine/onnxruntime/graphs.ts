/** The two graphs of a model: a block over windows of one length, and the head over rows. */
import type { Part } from "../../model/architectures/ops.ts";
import type { WeightSlot } from "../../model/architectures/survey.ts";
import type { Observation } from "../engine.ts";
import { GraphBuilder } from "./graphBuilder.ts";
import { type Constant, traceOps } from "./traceOps.ts";

export const HIDDEN_IN = "hidden";
export const HIDDEN_OUT = "result";

/** One observed input: the graph's outputs, and the weights that read it. */
export interface ObservedOutput {
  readonly columns: number;
  readonly weights: readonly string[];
  /** Its values summed: [windows, 1, columns]. */
  readonly sums: string;
  /** Its squares summed, as well; or, with "gram", `panels`. */
  readonly squares?: string;
  readonly panels: readonly GramPanel[];
}

/** Rows begin..end of XᵀX, up to their diagonal's block: [end − begin, end]. */
export interface GramPanel {
  readonly output: string;
  /** An input of the same shape that it is added to. */
  readonly before: string;
  readonly begin: number;
  readonly end: number;
}

/** Columns of a panel: what is above the diagonal is spared, and products stay large. */
const PANEL_COLUMNS = 384;

export interface BlockGraph {
  readonly model: Uint8Array;
  readonly constants: readonly Constant[];
  readonly usesPositions: boolean;
  readonly observed: readonly ObservedOutput[];
}

export function blockGraph(
  part: Part,
  slots: readonly WeightSlot[],
  hidden: number,
  length: number,
  observe: Observation,
  inputsOnly: boolean,
): BlockGraph {
  const graph = new GraphBuilder();
  const trace = traceOps(graph, slots, length);
  const input = { name: graph.input(HIDDEN_IN, ["tokens", hidden]), columns: hidden };
  const made = part.body(trace.ops, input);
  if (!inputsOnly) graph.output(made.name, HIDDEN_OUT, ["tokens", hidden]);
  const observed: ObservedOutput[] = [];
  if (observe !== "none") {
    // one product with ones adds up four times as fast as ReduceSum
    const ones = graph.floats(new Float32Array(length).fill(1), [1, length]);
    // window by window: what float32 adds up stays small
    const summed = (value: string, columns: number, name: string): string => {
      const windows = graph.add("Reshape", [value, graph.whole([-1, length, columns])]);
      graph.output(graph.add("MatMul", [ones, windows]), name, ["windows", 1, columns]);
      return name;
    };
    for (const [value, { columns, weights }] of trace.readers) {
      const at = observed.length;
      const sums = summed(value, columns, `sums:${at}`);
      if (observe === "gram") {
        const panels = gramPanels(graph, value, columns, `gram:${at}`);
        observed.push({ columns, weights, sums, panels });
      } else {
        const squares = summed(graph.add("Mul", [value, value]), columns, `squares:${at}`);
        observed.push({ columns, weights, sums, squares, panels: [] });
      }
    }
  }
  return {
    model: graph.bytes(),
    constants: [...trace.constants.values()],
    usesPositions: trace.usesPositions(),
    observed,
  };
}

function gramPanels(
  graph: GraphBuilder,
  value: string,
  columns: number,
  name: string,
): GramPanel[] {
  const count = Math.max(1, Math.round(columns / PANEL_COLUMNS));
  const cut = (from: number, to: number): string =>
    from === 0 && to === columns
      ? value
      : graph.add("Slice", [value, graph.whole([from]), graph.whole([to]), graph.whole([1])]);
  return Array.from({ length: count }, (_, panel) => {
    const [begin, end] = [panel, panel + 1].map((i) => Math.floor((i * columns) / count));
    const [output, shape] = [`${name}:${panel}`, [end! - begin!, end!]];
    const before = graph.input(`before:${output}`, shape);
    const product = graph.add("Gemm", [cut(begin!, end!), cut(0, end!), before], { transA: 1 });
    graph.output(product, output, shape);
    return { output, before, begin: begin!, end: end! };
  });
}

export const LOGITS = "logits";
export const TARGETS = "targets";
export const LOSSES = "losses";

/** Hidden states → logits. */
export function logitsGraph(
  part: Part,
  slots: readonly WeightSlot[],
  hidden: number,
  vocabulary: number,
): Uint8Array {
  const graph = new GraphBuilder();
  const trace = traceOps(graph, slots, 1);
  const input = { name: graph.input(HIDDEN_IN, ["tokens", hidden]), columns: hidden };
  graph.output(part.body(trace.ops, input).name, LOGITS, ["tokens", vocabulary]);
  return graph.bytes();
}

/** Hidden states and targets → −ln p(target), [tokens, 1]. */
export function scoreGraph(part: Part, slots: readonly WeightSlot[], hidden: number): Uint8Array {
  const graph = new GraphBuilder();
  const trace = traceOps(graph, slots, 1);
  const input = { name: graph.input(HIDDEN_IN, ["tokens", hidden]), columns: hidden };
  const logits = part.body(trace.ops, input).name;
  const targets = graph.input(TARGETS, ["tokens", 1], "int64");
  const logShares = graph.add("LogSoftmax", [logits], { axis: 1 });
  const wanted = graph.add("GatherElements", [logShares, targets], { axis: 1 });
  const losses = graph.add("Neg", [wanted]);
  graph.output(losses, LOSSES, ["tokens", 1]);
  return graph.bytes();
}
