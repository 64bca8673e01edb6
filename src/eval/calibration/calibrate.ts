/**
 * Takes windows of text through a model, block by block, and hands over what every linear layer of
 * a block saw.
 *
 * one-pass     every block as it is in the checkpoint
 * sequential   blocks are pruned on the way, as by Wanda and SparseGPT: what a block sees has passed
 *              the pruned blocks before it. All layers of one block see the block as it was.
 *
 * Memory: one block and a batch of hidden states; the others are in a file, and in memory too where
 * they fit.
 */
import type { SpInferError } from "../../core/errors.ts";
import type {
  DenseTensor,
  Observation,
  ObservedInputs,
  RunnableBlock,
  RunnableModel,
} from "../../engine/engine.ts";
import { type HiddenPlace, HiddenStates } from "./hiddenStates.ts";

/** Tokens that go through a block together; of what is only observed more, as nothing is kept of it. */
const TOKENS_PER_BATCH = 1024;
const TOKENS_OBSERVED = 8192;
/** Batches that the engine is given at once, so that it never waits for the next. */
const BATCHES_OPEN = 2;

export interface Calibration {
  readonly model: RunnableModel;
  /** Ids of all windows, one after another. */
  readonly ids: Int32Array;
  /** Tokens of a window. */
  readonly length: number;
  readonly observe: Exclude<Observation, "none">;
  readonly hidden: HiddenPlace;
  /** Begin with this block: hidden states of the blocks before are in the folder. */
  readonly from: number;
  /** Told before a block is run whether its inputs are known already; then it is not observed. */
  known(block: number): boolean;
  /** Takes what a block's layers saw; called in order. */
  take(block: number, observed: ObservedInputs): Promise<void>;
  /** The weights that the block goes on with; absent: those of the checkpoint. */
  readonly pruned?: (block: number) => Promise<ReadonlyMap<string, DenseTensor>>;
  /** The block is done, and the inputs of the next are on the disk. */
  done(block: number): Promise<void>;
  readonly signal?: AbortSignal | undefined;
  readonly cancelled: (signal: AbortSignal) => SpInferError;
}

export async function calibrate(calibration: Calibration): Promise<void> {
  const { model, from } = calibration;
  let states = statesOf(calibration, from);
  let next: HiddenStates | undefined;
  let memory: Float32Array | undefined;
  let settled: Promise<void> = Promise.resolve();
  try {
    if (from === 0) await embed(calibration, states);
    for (let index = from; index < model.facts.blocks; index++) {
      next = statesOf(calibration, index + 1, memory);
      await throughBlock(calibration, index, states, next);
      memory = states.release();
      await settled;
      // goes on beside the next block
      settled = settle(calibration, index, states);
      settled.catch(() => undefined); // awaited in its turn
      states = next;
    }
    await settled;
    await states.delete();
  } finally {
    // what is left after a failure stays, to go on from
    await Promise.allSettled([settled]);
    await states.close();
    await next?.close();
  }
}

/** A block is done with: the states that went into it are not needed once that is written down. */
async function settle(
  calibration: Calibration,
  index: number,
  states: HiddenStates,
): Promise<void> {
  try {
    await calibration.done(index);
    await states.delete();
  } finally {
    await states.close();
  }
}

function statesOf(
  { hidden, ids, model }: Calibration,
  index: number,
  memory?: Float32Array,
): HiddenStates {
  return new HiddenStates(hidden, index, ids.length * model.facts.hidden, memory);
}

async function embed(calibration: Calibration, states: HiddenStates): Promise<void> {
  const { model, ids, length } = calibration;
  for (const { begin, end } of batches(ids.length, length, TOKENS_PER_BATCH)) {
    const hidden = await model.embed(ids.subarray(begin, end), length);
    await states.write(hidden, begin * model.facts.hidden);
  }
}

async function throughBlock(
  calibration: Calibration,
  index: number,
  states: HiddenStates,
  next: HiddenStates,
): Promise<void> {
  const { model, observe, pruned, known } = calibration;
  const last = index === model.facts.blocks - 1;
  if (!known(index)) {
    const sums: ObservedInputs = new Map();
    await withBlock(await model.openBlock(index), async (block) => {
      const tokens = pruned === undefined ? TOKENS_PER_BATCH : TOKENS_OBSERVED;
      await runAll(calibration, states, tokens, async (input, at) => {
        // with pruning on the way, what comes out of the block as it was is not what goes on
        if (pruned !== undefined) await block.observe(input, calibration.length, observe, sums);
        else
          await next.write((await block.run(input, calibration.length, observe, sums)).hidden, at);
      });
    });
    await calibration.take(index, sums);
    if (pruned === undefined) return;
  }
  if (last && pruned !== undefined) return;
  const block = await model.openBlock(index, await pruned?.(index));
  await withBlock(block, async (open) => {
    await runAll(calibration, states, TOKENS_PER_BATCH, async (input, at) => {
      await next.write((await open.run(input, calibration.length)).hidden, at);
    });
  });
}

async function withBlock(
  block: RunnableBlock,
  work: (block: RunnableBlock) => Promise<void>,
): Promise<void> {
  try {
    await work(block);
  } finally {
    await block.close();
  }
}

/** Hands over the states batch by batch, the next before the engine is done with the last. */
async function runAll(
  { model, ids, length, signal, cancelled }: Calibration,
  states: HiddenStates,
  tokens: number,
  work: (input: Float32Array, at: number) => Promise<void>,
): Promise<void> {
  const width = model.facts.hidden;
  const open: Promise<void>[] = [];
  try {
    for (const { begin, end } of batches(ids.length, length, tokens)) {
      if (signal?.aborted) throw cancelled(signal);
      const input = await states.read(begin * width, (end - begin) * width);
      if (open.length === BATCHES_OPEN) await open.shift();
      const made = work(input, begin * width);
      made.catch(() => undefined); // awaited in its turn
      open.push(made);
    }
    while (open.length > 0) await open.shift();
  } finally {
    await Promise.allSettled(open);
  }
}

/** Whole windows of about `size` tokens together; tokens begin..end of `count`. */
function* batches(
  count: number,
  length: number,
  size: number,
): Generator<{ begin: number; end: number }> {
  const step = length * Math.max(1, Math.floor(size / length));
  for (let begin = 0; begin < count; begin += step)
    yield { begin, end: Math.min(begin + step, count) };
}
