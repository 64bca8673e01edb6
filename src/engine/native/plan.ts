/** What is done with a part's steps: which are needed, what is observed, when a tensor is done with. */
import { INPUT, type Recording, type Slot, type Step, type Work } from "./steps.ts";

/** An input of linear layers that is observed before the first of them reads it. */
export interface ObserveWork {
  readonly op: "observe";
  readonly weights: readonly string[];
}

export interface PlannedStep {
  readonly work: Work | ObserveWork;
  readonly reads: readonly Slot[];
  /** Absent: nothing is made. */
  readonly out: Slot | undefined;
  /** A tensor that nobody reads after this step and in whose place `out` may be written. */
  readonly inPlaceOf: Slot | undefined;
  /** Tensors that nobody reads after this step. */
  readonly done: readonly Slot[];
}

export interface Plan {
  readonly steps: readonly PlannedStep[];
  readonly columns: readonly number[];
  /** Absent: nothing comes out, it is only observed. */
  readonly result: Slot | undefined;
}

export interface PlanOptions {
  /** Whether the inputs of linear layers are observed. */
  readonly observed: boolean;
  /** What comes out; absent: nothing. */
  readonly result: Slot | undefined;
}

/** Which of the tensors that a step reads it may write over (spinfer_cpu.h). */
const REPLACEABLE: Readonly<Record<PlannedStep["work"]["op"], readonly number[]>> = {
  linear: [1],
  activate: [0, 1],
  combine: [0, 1],
  scale: [0],
  rmsNorm: [],
  layerNorm: [],
  rotary: [],
  attention: [],
  columns: [],
  observe: [],
};

type Wanted = Omit<PlannedStep, "inPlaceOf" | "done">;

/** Of the recorded steps those that lead to what is wanted, with the lives of their tensors. */
export function planOf({ steps, columns }: Recording, { observed, result }: PlanOptions): Plan {
  const all = observed ? withObservations(steps) : steps;
  const wanted = neededFor(all, result);
  const last = new Map<Slot, number>();
  for (const [at, { reads }] of wanted.entries()) for (const slot of reads) last.set(slot, at);
  return {
    columns,
    result,
    steps: wanted.map((step, at) => {
      const ended = [...new Set(step.reads)].filter((slot) => last.get(slot) === at);
      // what comes in and what comes out are the caller's
      const done = ended.filter((slot) => slot !== INPUT && slot !== result);
      const replaceable = REPLACEABLE[step.work.op].map((index) => step.reads[index]);
      const inPlaceOf = step.out === result ? undefined : done.find((s) => replaceable.includes(s));
      return { ...step, inPlaceOf, done: done.filter((slot) => slot !== inPlaceOf) };
    }),
  };
}

function withObservations(steps: readonly Step[]): Wanted[] {
  const weights = new Map<Slot, string[]>();
  for (const { work, reads } of steps) {
    if (work.op !== "linear") continue;
    const names = weights.get(reads[0]!) ?? [];
    weights.set(reads[0]!, [...names, work.spec.weight]);
  }
  return steps.flatMap((step): Wanted[] => {
    const names = step.work.op === "linear" ? weights.get(step.reads[0]!) : undefined;
    if (names === undefined) return [step];
    weights.delete(step.reads[0]!);
    const reads = step.reads.slice(0, 1);
    return [{ work: { op: "observe", weights: names }, reads, out: undefined }, step];
  });
}

function neededFor(steps: readonly Wanted[], result: Slot | undefined): Wanted[] {
  const needed = new Set(result === undefined ? [] : [result]);
  const kept = [...steps].reverse().filter(({ reads, out }) => {
    if (out !== undefined && !needed.has(out)) return false;
    for (const slot of reads) needed.add(slot);
    return true;
  });
  return kept.reverse();
}
