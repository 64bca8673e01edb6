/**
 * The ops recorded as steps on numbered tensors: the port computes at once, and what is known of the
 * steps after one decides what it is done together with (plan.ts).
 */
import { SpInferError } from "../../core/errors.ts";
import type {
  Activation,
  AttentionSpec,
  ColumnsSpec,
  LayerNormSpec,
  LinearSpec,
  Ops,
  Part,
  RmsNormSpec,
  RotarySpec,
} from "../../model/architectures/ops.ts";

/** The number of a tensor; INPUT is what goes into the part. */
export type Slot = number;
export const INPUT: Slot = 0;

export type Work =
  /** Reads x and, where it is there, what is added. */
  | { readonly op: "linear"; readonly spec: LinearSpec }
  | { readonly op: "rmsNorm"; readonly spec: RmsNormSpec }
  | { readonly op: "layerNorm"; readonly spec: LayerNormSpec }
  | { readonly op: "rotary"; readonly spec: RotarySpec }
  | { readonly op: "attention"; readonly spec: AttentionSpec }
  /** Reads x and, where it is there, what the activation is multiplied with. */
  | { readonly op: "activate"; readonly activation: Activation }
  | { readonly op: "combine"; readonly operation: "add" | "multiply" }
  /** x · factor, its softcap where that is not 0. */
  | { readonly op: "scale"; readonly factor: number; readonly softcap: number }
  | { readonly op: "columns"; readonly spec: ColumnsSpec };

export interface Step {
  readonly work: Work;
  readonly reads: readonly Slot[];
  readonly out: Slot;
}

export interface Recording {
  readonly steps: readonly Step[];
  /** Columns of each tensor. */
  readonly columns: readonly number[];
  readonly result: Slot;
}

/** Throws E_INTERNAL for tensors that do not fit: the library would read past their ends. */
export function recordSteps(part: Part, inputColumns: number): Recording {
  const steps: Step[] = [];
  const columns = [inputColumns];
  const add = (work: Work, reads: readonly Slot[], outColumns: number): Slot => {
    const out = columns.push(outColumns) - 1;
    steps.push({ work, reads, out });
    return out;
  };
  const fits = (op: string, ok: boolean): void => {
    if (!ok)
      throw new SpInferError("E_INTERNAL", `${part.prefix}: ${op} of tensors that do not fit`);
  };
  const same = (work: Work, input: Slot): Slot => add(work, [input], columns[input]!);
  const norm = (work: Extract<Work, { readonly spec: { readonly size: number } }>, input: Slot) => {
    fits(work.op, columns[input]! % work.spec.size === 0);
    return same(work, input);
  };
  const combine = (operation: "add" | "multiply", left: Slot, right: Slot): Slot => {
    fits(operation, columns[left] === columns[right]);
    return add({ op: "combine", operation }, [left, right], columns[left]!);
  };
  const unused = (): never => {
    throw new SpInferError("E_INTERNAL", "tables are looked up outside the steps");
  };
  const ops: Ops<Slot> = {
    embedding: unused,
    positions: unused,
    linear(input, spec) {
      fits("linear", columns[input] === spec.inputs);
      return add({ op: "linear", spec }, [input], spec.outputs);
    },
    rmsNorm: (input, spec) => norm({ op: "rmsNorm", spec }, input),
    layerNorm: (input, spec) => norm({ op: "layerNorm", spec }, input),
    rotary(input, spec) {
      const { headSize, table } = spec;
      fits("rotary", columns[input]! % headSize === 0 && table.columns <= headSize);
      return same({ op: "rotary", spec }, input);
    },
    attention(query, key, value, spec) {
      const { heads, keyHeads, headSize } = spec;
      const areKeys = [key, value].every((slot) => columns[slot] === keyHeads * headSize);
      fits("attention", columns[query] === heads * headSize && areKeys);
      return add({ op: "attention", spec }, [query, key, value], columns[query]!);
    },
    activate: (input, activation) => same({ op: "activate", activation }, input),
    add: (left, right) => combine("add", left, right),
    multiply: (left, right) => combine("multiply", left, right),
    scale: (input, factor) => same({ op: "scale", factor, softcap: 0 }, input),
    softcap: (input, cap) => same({ op: "scale", factor: 1, softcap: cap }, input),
    columns(input, spec) {
      const { groups, width, begin, end } = spec;
      fits("columns", columns[input] === groups * width && end <= width);
      return add({ op: "columns", spec }, [input], groups * (end - begin));
    },
  };
  const result = part.body(ops, INPUT);
  return { steps, columns, result };
}
