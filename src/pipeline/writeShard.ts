/**
 * Writes one safetensors file of an output, tensor by tensor. The header's place is reserved
 * beforehand and filled last. First come packed weights, whose sizes are known only when they are
 * made, in plan order; then the dense tensors, wide dtypes first so that all stay aligned, whose
 * places are known beforehand, so that large ones are copied in parallel.
 */
import type { FileHandle } from "node:fs/promises";
import { encodeHeader, type PlacedTensor } from "../../formats/index.ts";
import { DTYPE_BITS, denseBytes, isDtype } from "../core/dtype.ts";
import { toSpInferError } from "../core/errors.ts";
import { writeFully } from "../io/atomicFile.ts";
import type { Target } from "../io/copyRange.ts";
import type { OutputFolder } from "../io/outputFolder.ts";
import type { Progress } from "./events.ts";
import { footprint, memoryBudget } from "./plan/memory.ts";
import type { Plan, ShardPlan, TensorStep } from "./plan/steps.ts";
import type { StatsPlaces } from "./survey.ts";
import { runOrdered } from "./work/ordered.ts";
import type { Pool } from "./work/pool.ts";
import type { FilePart, MadeTensor, Paths, PrunedPlace } from "./work/tasks.ts";
import type { ValueFacts } from "./work/transform.ts";

/** A tensor as the journal and the manifest know it. */
export interface TensorRecord {
  readonly tensor: string;
  readonly file: string;
  /** "deferred": a weight that turned out better dense, and comes later. */
  readonly kind: "packed" | "dense" | "deferred";
  /** Offsets in the data section. */
  readonly placed: readonly PlacedTensor[];
  readonly sha256: string;
  readonly facts?: ValueFacts;
  readonly reason?: string;
}

export interface ShardContext {
  readonly plan: Plan;
  readonly steps: ReadonlyMap<string, TensorStep>;
  readonly paths: Paths;
  readonly pool: Pool;
  readonly output: OutputFolder;
  readonly strictFinite: boolean;
  readonly decisions: ReadonlyMap<string, unknown>;
  readonly stats: StatsPlaces;
  /** What was pruned while statistics were gathered. */
  readonly pruned: ReadonlyMap<string, PrunedPlace>;
  /** What an earlier run had finished, by tensor; "packed" and "deferred" before "dense". */
  readonly finished: ReadonlyMap<string, readonly TensorRecord[]>;
  readonly progress: Progress;
}

export interface WrittenShard {
  readonly file: string;
  readonly bytes: number;
  readonly records: readonly TensorRecord[];
  /** When the file is on the disk, closed and hashed. */
  readonly settled: Promise<{ readonly sha256: string }>;
}

/** Writes the file; what is left to do with it then goes on beside other work. */
export async function writeShard(shard: ShardPlan, context: ShardContext): Promise<WrittenShard> {
  const { output, pool } = context;
  const path = output.pathOf(shard.file);
  const handle = await output.openFile(shard.file);
  try {
    const { bytes, records } = await new ShardWriter(shard, context, handle).write();
    const settled = settle(handle, shard.file, bytes, output, pool);
    settled.catch(() => undefined); // awaited by whoever awaits the shard
    return { file: shard.file, bytes, records, settled };
  } catch (error) {
    await handle.close();
    throw toSpInferError(error, { path });
  }
}

/** Syncs the file while it is hashed, and closes it. */
async function settle(
  handle: FileHandle,
  name: string,
  bytes: number,
  output: OutputFolder,
  pool: Pool,
): Promise<{ sha256: string }> {
  const parts = [{ path: output.pathOf(name), begin: 0, end: bytes }];
  const [synced, hashed] = await Promise.allSettled([
    output.sync(handle, name),
    pool.run({ kind: "hash", parts }),
  ]);
  await handle.close();
  if (synced.status === "rejected") throw synced.reason;
  if (hashed.status === "rejected") throw hashed.reason;
  return hashed.value;
}

class ShardWriter {
  private readonly shard: ShardPlan;
  private readonly context: ShardContext;
  private readonly handle: FileHandle;
  private readonly dataBegin: number;
  private readonly records: TensorRecord[] = [];
  /** Why weights that could have been packed were not. */
  private readonly whyDense = new Map<string, string>();
  /** End of what is placed, in the data section. */
  private end = 0;

  constructor(shard: ShardPlan, context: ShardContext, handle: FileHandle) {
    this.shard = shard;
    this.context = context;
    this.handle = handle;
    this.dataBegin = 8 + shard.headerBytes;
  }

  async write(): Promise<Pick<WrittenShard, "bytes" | "records">> {
    const steps = this.shard.tensors.map((name) => this.context.steps.get(name)!);
    const later = steps.filter(({ store }) => store === "dense");
    await this.writePacked(
      steps.filter(({ store }) => store === "auto"),
      later,
    );
    await this.writeDense(later);
    const placed = this.records.flatMap((record) => record.placed);
    await writeFully(this.handle, encodeHeader(placed, {}, this.shard.headerBytes), 0);
    const bytes = this.dataBegin + this.end;
    await this.handle.truncate(bytes);
    return { bytes, records: this.records };
  }

  /** Weights that may be packed; those that are not go to `later`. */
  private async writePacked(steps: readonly TensorStep[], later: TensorStep[]): Promise<void> {
    await this.each(
      steps,
      async (step) => (await this.resume(step, ["packed", "deferred"])) ?? this.make(step),
      async (step, made) => {
        if ("tensor" in made) this.take(step, made);
        else if (made.kind === "packed") await this.store(step, made);
        else this.journal({ ...this.recordOf(step, made), kind: "deferred", placed: [] });
        if (this.records.at(-1)?.tensor === step.name) return;
        later.push(step);
        if (made.reason !== undefined) this.whyDense.set(step.name, made.reason);
      },
    );
  }

  private async writeDense(steps: readonly TensorStep[]): Promise<void> {
    const order = new Map(steps.map((step, i) => [step.name, i]));
    const sorted = [...steps].sort(
      (a, b) => widthOf(b.dtype) - widthOf(a.dtype) || order.get(a.name)! - order.get(b.name)!,
    );
    const begins = new Map<string, number>();
    let at = this.end;
    for (const step of sorted) {
      begins.set(step.name, at);
      at += denseSize(step);
    }
    await this.each(
      sorted,
      async (step) =>
        (await this.resume(step, ["dense"])) ?? this.makeDense(step, begins.get(step.name)!),
      async (step, record) => this.take(step, record),
    );
  }

  private each<Result>(
    items: readonly TensorStep[],
    start: (step: TensorStep) => Promise<Result>,
    finish: (step: TensorStep, result: Result) => Promise<void>,
  ): Promise<void> {
    const { plan, pool } = this.context;
    const budget = memoryBudget(plan.steps, plan.threads);
    return runOrdered({ items, footprint, budget, width: pool.threads + 1, start, finish });
  }

  private make(step: TensorStep, target?: Target): Promise<MadeTensor> {
    const { pool, paths, strictFinite, decisions, stats, pruned } = this.context;
    const options = {
      strictFinite,
      decision: decisions.get(step.name),
      stats: stats.get(step.name),
      keepDense: target !== undefined,
    };
    return pool.run({
      kind: "transform",
      step,
      paths,
      options,
      pruned: pruned.get(step.name),
      ...(target === undefined ? {} : { target }),
    });
  }

  /** A dense tensor, put straight into its place; copied when nothing is done to it. */
  private async makeDense(step: TensorStep, begin: number): Promise<TensorRecord> {
    const { pool, paths, output } = this.context;
    const { name, dtype, shape } = step;
    const target = { path: output.pathOf(this.shard.file), position: this.dataBegin + begin };
    let made: Pick<MadeTensor, "sha256" | "facts" | "reason">;
    if (step.copy) {
      const extent = step.source.extents[0]!;
      const source = { path: paths[extent.file]!, begin: extent.begin, end: extent.end };
      made = await pool.run({ kind: "copy", source, target, part: { name, dtype, shape } });
    } else made = await this.make(step, target);
    const placed = [{ name, dtype, shape, begin, end: begin + denseSize(step) }];
    const record: TensorRecord = { ...this.recordOf(step, made), kind: "dense", placed };
    this.journal(record);
    return record;
  }

  /** Writes a packed weight behind what is there, and gives its memory back. */
  private async store(step: TensorStep, made: MadeTensor): Promise<void> {
    const placed: PlacedTensor[] = [];
    let at = this.end;
    for (const { bytes, name, dtype, shape } of made.parts) {
      await writeFully(this.handle, bytes, this.dataBegin + at);
      placed.push({ name, dtype, shape, begin: at, end: at + bytes.length });
      at += bytes.length;
    }
    this.context.pool.recycle(made.parts[0]!.bytes.buffer);
    const record: TensorRecord = { ...this.recordOf(step, made), kind: "packed", placed };
    this.journal(record);
    this.take(step, record, false);
  }

  private recordOf(
    step: TensorStep,
    made: Pick<MadeTensor, "sha256" | "facts" | "reason">,
  ): Omit<TensorRecord, "kind" | "placed"> {
    const { sha256, facts, reason = this.whyDense.get(step.name) } = made;
    return {
      tensor: step.name,
      file: this.shard.file,
      sha256,
      ...(facts === undefined ? {} : { facts }),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  private journal(record: TensorRecord): void {
    this.context.output.record(record);
  }

  private take(
    step: TensorStep,
    record: TensorRecord,
    resumed = this.wasFinished(step, record),
  ): void {
    if (record.kind === "deferred") return;
    this.records.push(record);
    this.end = Math.max(this.end, record.placed.at(-1)?.end ?? 0);
    this.context.progress.item(step.name, step.bytesIn, resumed);
  }

  private wasFinished(step: TensorStep, record: TensorRecord): boolean {
    return this.context.finished.get(step.name)?.includes(record) ?? false;
  }

  /** A record of an earlier run, if the bytes that it tells of are there. */
  private async resume(
    step: TensorStep,
    kinds: readonly TensorRecord["kind"][],
  ): Promise<TensorRecord | undefined> {
    const { finished, pool, output } = this.context;
    const record = finished
      .get(step.name)
      ?.findLast(({ kind, file }) => kinds.includes(kind) && file === this.shard.file);
    if (record === undefined || record.kind === "deferred") return record;
    const path = output.pathOf(this.shard.file);
    const parts = record.placed.map(
      ({ begin, end, ...part }): FilePart => ({
        path,
        begin: this.dataBegin + begin,
        end: this.dataBegin + end,
        part,
      }),
    );
    try {
      const { sha256 } = await pool.run({ kind: "hash", parts });
      return sha256 === record.sha256 ? record : undefined;
    } catch (error) {
      // a file that is too short is like one with other bytes: the tensor is made again
      if (toSpInferError(error).code === "E_SOURCE_CHANGED") return undefined;
      throw error;
    }
  }
}

function widthOf(dtype: string): number {
  return isDtype(dtype) ? DTYPE_BITS[dtype] : 0;
}

function denseSize({ shape, bytesIn, dtype }: TensorStep): number {
  return isDtype(dtype) ? denseBytes(dtype, shape)! : bytesIn;
}
