/** A part of a model, recorded and with its weights packed: what blocks and the head have in common. */
import { SpInferError } from "../../core/errors.ts";
import type { LoadedPart } from "../backend.ts";
import type { Buffers } from "./buffers.ts";
import type { CpuCalls, CpuContext } from "./context.ts";
import { fused } from "./fuse.ts";
import type { CpuWeights, RotaryCaches } from "./runPlan.ts";
import { type Recording, recordSteps } from "./steps.ts";

/** What the parts of a model share. */
export interface Engine {
  readonly context: CpuContext;
  readonly buffers: Buffers;
  readonly rotary: RotaryCaches;
}

/** A part whose weights the library has packed. */
export interface ReadyPart {
  readonly recording: Recording;
  /** Does work in its turn; after `close` it fails, since the weights are gone. */
  exclusive<Result>(work: (cpu: CpuCalls, weights: CpuWeights) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export async function readyPart(
  { context }: Engine,
  loaded: LoadedPart,
  columns: number,
): Promise<ReadyPart> {
  const recording = fused(recordSteps(loaded.part, columns));
  let weights: CpuWeights | undefined = await context.exclusive((cpu) =>
    packWeights(cpu, loaded, recording),
  );
  return {
    recording,
    exclusive: (work) =>
      context.exclusive((cpu) => {
        if (weights === undefined) throw new SpInferError("E_INTERNAL", "the block is closed");
        return work(cpu, weights);
      }),
    async close() {
      if (context.isClosed) return;
      await context.exclusive(async (cpu) => {
        for (const weight of weights?.packed.values() ?? []) cpu.dropWeight(weight);
        weights = undefined;
      });
    },
  };
}

async function packWeights(
  cpu: CpuCalls,
  loaded: LoadedPart,
  { steps }: Recording,
): Promise<CpuWeights> {
  const packed = new Map<string, bigint>();
  const vectors = new Map<string, Float32Array>();
  for (const { name, linear } of loaded.slots) {
    if (!linear) vectors.set(name, loaded.weights.get(name)!.values);
  }
  try {
    for (const { work } of steps) {
      if (work.op !== "linear" || packed.has(work.spec.weight)) continue;
      const { weight } = work.spec;
      const stored = loaded.halves?.get(weight) ?? loaded.weights.get(weight)!;
      packed.set(weight, await cpu.packWeight(stored, work.spec));
    }
  } catch (thrown) {
    for (const weight of packed.values()) cpu.dropWeight(weight);
    throw thrown;
  }
  return { packed, vectors };
}
