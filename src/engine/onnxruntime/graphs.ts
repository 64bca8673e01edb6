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
  /** Its squares summed, or its products. */
  readonly output: string;
  /** Its values summed. */
  readonly sums: string;
  readonly columns: number;
  readonly weights: readonly string[];
}

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
): BlockGraph {
  const graph = new GraphBuilder();
  const trace = traceOps(graph, slots, length);
  const input = { name: graph.input(HIDDEN_IN, ["tokens", hidden]), columns: hidden };
  const made = part.body(trace.ops, input);
  graph.output(made.name, HIDDEN_OUT, ["tokens", hidden]);
  const observed: ObservedOutput[] = [];
  // window by window: what float32 adds up stays small
  const reduced = (op: string, value: string, columns: number): string => {
    const windows = graph.add("Reshape", [value, graph.whole([-1, length, columns])]);
    return graph.add(op, [windows, graph.whole([1])], { keepdims: 0 });
  };
  if (observe !== "none") {
    for (const [value, { columns, weights }] of trace.readers) {
      const output = `observed:${observed.length}`;
      if (observe === "gram") {
        const gram = graph.add("Gemm", [value, value], { transA: 1 });
        graph.output(gram, output, [columns, columns]);
      } else graph.output(reduced("ReduceSumSquare", value, columns), output, ["windows", columns]);
      const sums = `summed:${observed.length}`;
      graph.output(reduced("ReduceSum", value, columns), sums, ["windows", columns]);
      observed.push({ output, sums, columns, weights });
    }
  }
  return {
    model: graph.bytes(),
    constants: [...trace.constants.values()],
    usesPositions: trace.usesPositions(),
    observed,
  };
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
