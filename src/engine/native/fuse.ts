/**
 * Steps that the library does together: what only the next step reads is not written and read again.
 */
import type { Recording, Slot, Step, Work } from "./steps.ts";

/** A linear and the sum after it, an activation and the product after it, a factor and its softcap. */
export function fused({ steps, columns, result }: Recording): Recording {
  const made: (Step | undefined)[] = [];
  const readers = readerCounts(steps);
  /** Where each tensor is made, among `made`. */
  const maker = new Map<Slot, number>();
  const makerOf = (slot: Slot): number => maker.get(slot) ?? -1;
  /** The step that makes a tensor for one reader alone, if it is such a one. */
  const onlyFor = (slot: Slot, op: Work["op"]): Step | undefined => {
    const step = made[makerOf(slot)];
    const isAlone = readers.get(slot) === 1 && slot !== result && step?.work.op === op;
    return isAlone ? step : undefined;
  };
  const replace = (at: number, step: Step): void => {
    made[at] = step;
    maker.set(step.out, at);
  };
  for (const step of steps) {
    if (!addsToLinear(step) && !appends(step)) replace(made.length, step);
  }
  return { steps: made.filter((step) => step !== undefined), columns, result };

  function addsToLinear({ work, reads, out }: Step): boolean {
    if (work.op !== "combine" || work.operation !== "add") return false;
    // of two linears the later one: what is added to it is there by then
    const [other, last] = [...reads].sort((a, b) => makerOf(a) - makerOf(b)) as [Slot, Slot];
    const linear = onlyFor(last, "linear");
    if (linear === undefined || linear.reads.length > 1) return false;
    replace(makerOf(last), { work: linear.work, reads: [linear.reads[0]!, other], out });
    return true;
  }

  /** What comes last takes the one before into its own place. */
  function appends({ work, reads, out }: Step): boolean {
    if (work.op === "combine" && work.operation === "multiply") {
      const gate = reads.find((slot) => onlyFor(slot, "activate")?.reads.length === 1);
      if (gate === undefined) return false;
      const [factor] = reads[0] === gate ? [reads[1]!] : [reads[0]!];
      const activate = made[makerOf(gate)]!;
      made[makerOf(gate)] = undefined;
      replace(made.length, { work: activate.work, reads: [activate.reads[0]!, factor], out });
      return true;
    }
    if (work.op !== "scale" || work.softcap === 0) return false;
    const scale = onlyFor(reads[0]!, "scale");
    if (scale?.work.op !== "scale" || scale.work.softcap !== 0) return false;
    made[makerOf(reads[0]!)] = undefined;
    const factor = scale.work.factor * work.factor;
    replace(made.length, { work: { ...work, factor }, reads: scale.reads, out });
    return true;
  }
}

function readerCounts(steps: readonly Step[]): Map<Slot, number> {
  const counts = new Map<Slot, number>();
  for (const slot of steps.flatMap(({ reads }) => reads)) {
    counts.set(slot, (counts.get(slot) ?? 0) + 1);
  }
  return counts;
}
