/** The head: logits, and losses that the library computes without keeping logits. */
import type { LoadedPart, ReadyHead } from "../backend.ts";
import { lossOf } from "../typescript/losses.ts";
import { VALUE } from "./context.ts";
import { type Engine, readyPart } from "./part.ts";
import { planOf } from "./plan.ts";
import { type CpuWeights, type Run, runPlan } from "./runPlan.ts";
import type { Recording, Slot } from "./steps.ts";

/** Rows whose losses are computed in one run. */
const LOSS_ROWS = 1024;
/** Logits that are held at once, where they are. */
const HEAD_LOGITS = 2 ** 24;

/** The last steps as `spinfer_cpu_losses` does them: a linear, and its softcap. */
interface LastLinear {
  readonly input: Slot;
  readonly columns: number;
  readonly outputs: number;
  readonly weight: string;
  readonly bias: string | undefined;
  readonly softcap: number;
}

export async function nativeHead(
  engine: Engine,
  loaded: LoadedPart,
  columns: number,
  vocabulary: number,
): Promise<ReadyHead> {
  const part = await readyPart(engine, loaded, columns);
  const { recording } = part;
  const last = lastLinear(recording);
  const plan = planOf(recording, { observed: false, result: last?.input ?? recording.result });
  const whole = planOf(recording, { observed: false, result: recording.result });
  const logitRows = Math.max(1, Math.floor(HEAD_LOGITS / vocabulary));
  const inSlices = (
    hidden: Float32Array,
    most: number,
    take: (run: Run, first: number) => Promise<void>,
  ): Promise<void> =>
    part.exclusive(async (cpu, weights) => {
      const all = hidden.length / columns;
      for (let first = 0; first < all; first += most) {
        const rows = Math.min(most, all - first);
        const input = hidden.subarray(first * columns, (first + rows) * columns);
        const { buffers, rotary } = engine;
        // rows of the head are windows of one token: it looks at no other
        await take({ cpu, buffers, rotary, weights, rows, length: 1, input }, first);
      }
    });
  return {
    async logits(hidden) {
      const out = new Float32Array((hidden.length / columns) * vocabulary);
      await inSlices(hidden, logitRows, (run, first) => {
        const output = out.subarray(first * vocabulary, (first + run.rows) * vocabulary);
        return runPlan(whole, { ...run, output });
      });
      return out;
    },
    async score(hidden, targets) {
      const losses = new Float64Array(targets.length);
      await inSlices(hidden, last === undefined ? logitRows : LOSS_ROWS, (run, first) => {
        const wanted = targets.subarray(first, first + run.rows);
        const out = losses.subarray(first, first + run.rows);
        return runPlan(plan, run, (values) =>
          last === undefined
            ? lossesOf(values, vocabulary, wanted, out)
            : nativeLosses(run, last, values, wanted, out),
        );
      });
      return losses;
    },
    close: () => part.close(),
  };
}

function lastLinear({ steps, columns, result }: Recording): LastLinear | undefined {
  const maker = (slot: Slot) => steps.find(({ out }) => out === slot);
  const end = maker(result);
  const capped = end?.work.op === "scale" && end.work.factor === 1 ? end.work.softcap : 0;
  const linear = capped === 0 ? end : maker(end!.reads[0]!);
  if (linear?.work.op !== "linear" || linear.reads.length !== 1) return undefined;
  const { weight, bias, outputs } = linear.work.spec;
  const input = linear.reads[0]!;
  return { input, columns: columns[input]!, outputs, weight, bias, softcap: capped };
}

async function nativeLosses(
  { cpu, weights, rows }: { readonly weights: CpuWeights } & Pick<Run, "cpu" | "rows">,
  { columns, outputs, weight, bias, softcap }: LastLinear,
  values: Float32Array,
  targets: Int32Array,
  losses: Float64Array,
): Promise<void> {
  const added = bias === undefined ? null : weights.vectors.get(bias)!;
  const count = rows * columns;
  await cpu.call("spinfer_cpu_set_input", count * VALUE, values, rows, columns);
  const packed = weights.packed.get(weight)!;
  const work = count * outputs;
  await cpu.call("spinfer_cpu_losses", work, packed, added, softcap, targets, losses);
}

/** For heads that end in something else. */
async function lossesOf(
  logits: Float32Array,
  vocabulary: number,
  targets: Int32Array,
  losses: Float64Array,
): Promise<void> {
  for (let row = 0; row < targets.length; row++) {
    losses[row] = lossOf(logits.subarray(row * vocabulary, (row + 1) * vocabulary), targets[row]!);
  }
}
