/** The fastest engine: a library of our own for x86-64, one call for each step of a part. */
import type { Backend, LoadedPart, ReadyBlock } from "../backend.ts";
import type { Observation, ObservedInputs } from "../engine.ts";
import { Buffers } from "./buffers.ts";
import { type CpuContext, VALUE } from "./context.ts";
import { nativeHead } from "./head.ts";
import { observer } from "./observe.ts";
import { type Engine, readyPart } from "./part.ts";
import { type Plan, planOf } from "./plan.ts";
import { latestRotaryCaches, runPlan } from "./runPlan.ts";
import { INPUT } from "./steps.ts";

/** Tokens that go through a block in one run: what a step writes is still in the caches for the next. */
const TOKENS_PER_RUN = 1024;

export function nativeBackend(context: CpuContext): Backend {
  const engine = { context, buffers: new Buffers(), rotary: latestRotaryCaches() };
  return {
    name: "native",
    instructions: context.instructions,
    takesHalves: true,
    block: (loaded, hidden) => nativeBlock(engine, loaded, hidden),
    head: (loaded, hidden, vocabulary) => nativeHead(engine, loaded, hidden, vocabulary),
    allFinite: (values) =>
      context.exclusive(async (cpu) => {
        const out = new Int32Array(1);
        const { length } = values;
        await cpu.call("spinfer_cpu_all_finite", length * VALUE, values, length, out);
        return out[0] === 1;
      }),
    close: () => context.close(),
  };
}

async function nativeBlock(
  engine: Engine,
  loaded: LoadedPart,
  columns: number,
): Promise<ReadyBlock> {
  const { prefix } = loaded.part;
  const part = await readyPart(engine, loaded, columns);
  const { recording } = part;
  const plans = new Map<string, Plan>();
  const plan = (observed: boolean, hasResult: boolean): Plan => {
    const key = `${observed} ${hasResult}`;
    const result = hasResult ? recording.result : undefined;
    const made = plans.get(key) ?? planOf(recording, { observed, result });
    plans.set(key, made);
    return made;
  };
  /** Takes windows through the block, those that are short together. */
  const through = (
    hidden: Float32Array,
    length: number,
    observe: Observation,
    sums: ObservedInputs,
    output?: Float32Array,
  ): Promise<void> =>
    part.exclusive(async (cpu, weights) => {
      const steps = plan(observe !== "none", output !== undefined);
      const size = Math.max(1, Math.floor(TOKENS_PER_RUN / length)) * length * columns;
      for (let begin = 0; begin < hidden.length; begin += size) {
        const end = Math.min(begin + size, hidden.length);
        const rows = (end - begin) / columns;
        await runPlan(steps, {
          ...{ cpu, weights, rows, length },
          ...{ buffers: engine.buffers, rotary: engine.rotary },
          input: hidden.subarray(begin, end),
          output: output?.subarray(begin, end),
          observe: observe === "none" ? undefined : observer(cpu, sums, { prefix, observe, rows }),
        });
      }
    });
  return {
    async run(hidden, length, observe, sums) {
      const output = new Float32Array(hidden.length);
      await through(hidden, length, observe, sums, output);
      if (recording.result === INPUT) output.set(hidden);
      return { hidden: output, observed: sums };
    },
    observe: (hidden, length, observe, sums) => through(hidden, length, observe, sums),
    close: () => part.close(),
  };
}
