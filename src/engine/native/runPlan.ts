/** A plan run over a batch of windows, a call of the library for each step. */
import type { RotaryTable } from "../../model/architectures/ops.ts";
import { rotaryCaches } from "../../model/architectures/rotary.ts";
import type { Buffers } from "./buffers.ts";
import { type CpuCalls, type PackedWeight, VALUE } from "./context.ts";
import { ACTIVATIONS, OPERATIONS } from "./declarations.ts";
import type { Plan, PlannedStep } from "./plan.ts";
import { INPUT, type Slot, type Work } from "./steps.ts";

/** Matrices of linear layers are packed, vectors are as they were read. */
export interface CpuWeights {
  readonly packed: ReadonlyMap<string, PackedWeight>;
  readonly vectors: ReadonlyMap<string, Float32Array>;
}

export type RotaryCaches = (
  table: RotaryTable,
  length: number,
) => { readonly cosine: Float32Array; readonly sine: Float32Array };

export interface Run {
  readonly cpu: CpuCalls;
  readonly buffers: Buffers;
  readonly rotary: RotaryCaches;
  readonly weights: CpuWeights;
  /** Tokens of the batch and of each of its windows. */
  readonly rows: number;
  readonly length: number;
  readonly input: Float32Array;
  /** What comes out is written here. */
  readonly output?: Float32Array | undefined;
  /** Told of what linear layers read, in a plan that observes. */
  readonly observe?:
    | ((weights: readonly string[], values: Float32Array, columns: number) => Promise<void>)
    | undefined;
}

/** The caches of the windows seen last: windows are nearly always of one length. */
export function latestRotaryCaches(): RotaryCaches {
  const known = new WeakMap<
    RotaryTable,
    { readonly length: number; readonly caches: ReturnType<RotaryCaches> }
  >();
  return (table, length) => {
    const seen = known.get(table);
    if (seen?.length === length) return seen.caches;
    const caches = rotaryCaches(table, length);
    known.set(table, { length, caches });
    return caches;
  };
}

/** Where `keep` is given, that tensor is handed to it before the run's memory is given back. */
export async function runPlan(
  plan: Plan,
  run: Run,
  keep?: (values: Float32Array) => Promise<void>,
): Promise<void> {
  const { buffers, rows, input, output } = run;
  const values = new Map<Slot, Float32Array>([[INPUT, input]]);
  /** What the library has arranged for products. */
  const arranged: { slot?: Slot } = {};
  const isOutside = (slot: Slot): boolean =>
    slot === INPUT || (slot === plan.result && output !== undefined);
  const place = ({ out, inPlaceOf }: PlannedStep): void => {
    if (out === undefined) return;
    if (out === plan.result && output !== undefined) values.set(out, output);
    else if (inPlaceOf === undefined) values.set(out, buffers.take(rows * plan.columns[out]!));
    else values.set(out, values.get(inPlaceOf)!);
    if (inPlaceOf !== undefined) values.delete(inPlaceOf);
  };
  try {
    for (const step of plan.steps) {
      const read = step.reads.map((slot) => values.get(slot)!);
      place(step);
      const out = step.out === undefined ? undefined : values.get(step.out)!;
      await runStep(plan, run, step, read, out, arranged);
      for (const slot of step.done) {
        buffers.give(values.get(slot)!);
        values.delete(slot);
      }
    }
    if (keep !== undefined && plan.result !== undefined) await keep(values.get(plan.result)!);
  } finally {
    for (const [slot, buffer] of values) if (!isOutside(slot)) buffers.give(buffer);
  }
}

async function runStep(
  { columns }: Plan,
  { cpu, rotary, weights, rows, length, observe }: Run,
  { work, reads }: PlannedStep,
  read: readonly Float32Array[],
  out: Float32Array | undefined,
  arranged: { slot?: Slot },
): Promise<void> {
  const width = columns[reads[0]!]!;
  const x = read[0]!;
  if (work.op === "observe") {
    await observe?.(work.weights, x, width);
    return;
  }
  if (work.op === "linear" && arranged.slot !== reads[0]) {
    await cpu.call("spinfer_cpu_set_input", rows * width * VALUE, x, rows, width);
    arranged.slot = reads[0]!;
  }
  await runWork(work, { cpu, rotary, weights, rows, length }, width, read, out!);
}

async function runWork(
  work: Work,
  {
    cpu,
    rotary,
    weights,
    rows,
    length,
  }: Pick<Run, "cpu" | "rotary" | "weights" | "rows" | "length">,
  width: number,
  read: readonly Float32Array[],
  out: Float32Array,
): Promise<void> {
  const [x, second] = read as [Float32Array, Float32Array | undefined];
  const count = rows * width;
  const touched = count * VALUE;
  const vector = (name: string | undefined): Float32Array | null =>
    name === undefined ? null : weights.vectors.get(name)!;
  switch (work.op) {
    case "linear": {
      const { weight, bias, outputs } = work.spec;
      const packed = weights.packed.get(weight)!;
      const made = [packed, vector(bias), second ?? null, out];
      return cpu.call("spinfer_cpu_linear", count * outputs, ...made);
    }
    case "rmsNorm": {
      const { weight, size, epsilon, addOne } = work.spec;
      const groups = count / size;
      const one = addOne === true ? 1 : 0;
      const values = [x, groups, size, vector(weight), epsilon, one, out];
      return cpu.call("spinfer_cpu_rms_norm", touched, ...values);
    }
    case "layerNorm": {
      const { weight, bias, size, epsilon } = work.spec;
      const vectors = [vector(weight), vector(bias)];
      const values = [x, count / size, size, ...vectors, epsilon, out];
      return cpu.call("spinfer_cpu_layer_norm", touched, ...values);
    }
    case "rotary": {
      const { headSize, table } = work.spec;
      const { cosine, sine } = rotary(table, length);
      const sizes = [rows, length, width / headSize, headSize, table.columns];
      return cpu.call("spinfer_cpu_rotary", touched, x, ...sizes, cosine, sine, out);
    }
    case "attention": {
      const spec = cpu.attentionSpec(work.spec, rows, length);
      return cpu.call("spinfer_cpu_attention", count * length, x, second!, read[2]!, spec, out);
    }
    case "activate": {
      const code = ACTIVATIONS[work.activation];
      return cpu.call("spinfer_cpu_activate", touched, x, second ?? null, count, code, out);
    }
    case "combine": {
      const code = OPERATIONS[work.operation];
      return cpu.call("spinfer_cpu_combine", touched, x, second!, count, code, out);
    }
    case "scale":
      return cpu.call("spinfer_cpu_scale", touched, x, count, work.factor, work.softcap, out);
    case "columns": {
      const { groups, width: each, begin, end } = work.spec;
      return cpu.call("spinfer_cpu_columns", touched, x, rows * groups, each, begin, end, out);
    }
  }
}
