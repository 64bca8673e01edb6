/**
 * What a worker thread can be asked to do. Tasks and results are plain data; everything here is
 * synchronous, since a worker thread has nothing else to do.
 */
import { createHash } from "node:crypto";
import { formats } from "../../../formats/index.ts";
import type { ActivationStats, SurveyState } from "../../../pruners/definePruner.ts";
import type { TensorEntry } from "../../core/archive.ts";
import { DTYPE_BITS, type HalfDtype, isDtype, type WeightDtype } from "../../core/dtype.ts";
import { SpInferError } from "../../core/errors.ts";
import { copyRange, hashRange, type Target, writeRange } from "../../io/copyRange.ts";
import { readInto } from "../../io/openFile.ts";
import { configurePruner } from "../plan/selection.ts";
import type { TensorStep } from "../plan/steps.ts";
import { selectKernels } from "./accelerate.ts";
import { readStats, type StatsPlace } from "./activationStats.ts";
import { Workspace } from "./buffers.ts";
import { beginPart, type HashedPart, startTensorHash } from "./tensorHash.ts";
import {
  bitsOf,
  type StatsReader,
  storePruned,
  type TransformOptions,
  transformTensor,
  type ValueCounts,
  type ValueFacts,
} from "./transform.ts";

/** Real paths by the file names that extents use. */
export type Paths = Readonly<Record<string, string>>;

/** A run of bytes in a file, with what it is when it is a tensor. */
export interface FilePart {
  readonly path: string;
  readonly begin: number;
  readonly end: number;
  readonly part?: HashedPart;
}

export type Task =
  | {
      readonly kind: "transform";
      readonly step: TensorStep;
      readonly paths: Paths;
      readonly options: TransformOptions;
      /** Where a tensor that comes out dense is written; absent: nowhere. */
      readonly target?: Target;
      /** Where it lies pruned already; a place with other bytes is passed over. */
      readonly pruned?: PrunedPlace | undefined;
    }
  | {
      readonly kind: "copy";
      readonly source: FilePart;
      readonly target: Target;
      readonly part: HashedPart;
    }
  | { readonly kind: "hash"; readonly parts: readonly FilePart[] }
  | {
      readonly kind: "survey";
      readonly step: TensorStep;
      readonly paths: Paths;
      readonly state: SurveyState;
      readonly stats?: StatsPlace | undefined;
    }
  | {
      /** The values that weights which read the same inputs have when they are pruned. */
      readonly kind: "values";
      readonly paths: Paths;
      readonly stats: StatsPlace | undefined;
      readonly weights: readonly {
        readonly step: TensorStep;
        readonly decision: unknown;
        /** Where the pruned weight is written, in its dtype; absent: nowhere. */
        readonly target?: Target | undefined;
      }[];
    }
  | { readonly kind: "check" | "count"; readonly entry: TensorEntry; readonly paths: Paths }
  | {
      readonly kind: "compare";
      readonly step: TensorStep;
      readonly paths: Paths;
      readonly options: TransformOptions;
      readonly stored: TensorEntry;
      readonly storedPaths: Paths;
    };

/** A pruned weight in a file, in its dtype and the checkpoint's layout. */
export interface PrunedPlace {
  readonly path: string;
  readonly begin: number;
  readonly end: number;
  readonly sha256: string;
  readonly counts: ValueCounts;
}

/** A pruned weight: its values, and what is needed to go on with what was written of it. */
export interface PrunedValues extends Pick<PrunedPlace, "sha256" | "counts"> {
  /** In the checkpoint's layout. */
  readonly values: Float32Array;
}

/** A tensor that was made: the parts of a packed one, to be written. */
export interface MadeTensor {
  readonly kind: "packed" | "dense";
  readonly parts: readonly (HashedPart & { readonly bytes: Uint8Array<ArrayBuffer> })[];
  /** Empty for a dense one that was written nowhere. */
  readonly sha256: string;
  readonly facts?: ValueFacts;
  readonly reason?: string;
}

/** Where two tensors first differ: an element of the dense tensor, and the bits of both. */
export interface Difference {
  readonly index: number;
  readonly expected: string;
  readonly found: string;
}

export interface TaskResults {
  readonly transform: MadeTensor;
  readonly copy: { readonly sha256: string };
  readonly hash: { readonly sha256: string };
  readonly survey: { readonly counts: Float64Array };
  readonly values: { readonly pruned: readonly PrunedValues[] };
  readonly check: Record<string, never>;
  readonly count: { readonly nonzeros: number };
  readonly compare: { readonly difference?: Difference; readonly differences: number };
}

/** Bytes of the workspace that a task is best given; 0 when it uses none. */
export function workspaceBytes(task: Task): number {
  if (!("step" in task)) return 0;
  const { extents } = task.step.source;
  return extents.length === 1 ? extents[0]!.end - extents[0]!.begin : 0;
}

/** What is read goes into `workspace`; a result may be in it. */
export function runTask(
  task: Task,
  workspace: Workspace = new Workspace(),
): TaskResults[Task["kind"]] {
  switch (task.kind) {
    case "transform":
      return makeTensor(task, workspace);
    case "copy": {
      const hash = startTensorHash();
      beginPart(hash, task.part);
      copyRange(task.source, task.target, hash);
      return { sha256: hash.digest("hex") };
    }
    case "hash": {
      const hash = createHash("sha256");
      for (const { path, begin, end, part } of task.parts) {
        if (part !== undefined) beginPart(hash, part);
        hashRange(path, begin, end, hash);
      }
      return { sha256: hash.digest("hex") };
    }
    case "survey":
      return survey(task, workspace);
    case "values":
      return { pruned: prunedValues(task) };
    case "check":
      checkEntry(task.entry, task.paths);
      return {};
    case "count":
      return { nonzeros: countNonzeroElements(task.entry, decodeEntry(task.entry, task.paths)) };
    case "compare":
      return compare(task, workspace);
  }
}

/** The buffers of a result that move to the other thread instead of being copied. */
export function transferables(result: TaskResults[Task["kind"]]): ArrayBuffer[] {
  if ("parts" in result) return result.parts.map(({ bytes }) => bytes.buffer);
  if ("pruned" in result) return result.pruned.map(({ values }) => values.buffer as ArrayBuffer);
  return "counts" in result ? [result.counts.buffer as ArrayBuffer] : [];
}

function readExtents(
  { extents }: TensorEntry,
  paths: Paths,
  workspace?: Workspace,
): Uint8Array<ArrayBuffer>[] {
  return extents.map(({ file, begin, end }) => {
    const size = end - begin;
    const bytes =
      extents.length === 1 && workspace !== undefined ? workspace.take(size) : new Uint8Array(size);
    readInto(paths[file]!, begin, bytes);
    return bytes;
  });
}

function makeTensor(
  { step, paths, options, target, pruned }: Task & { readonly kind: "transform" },
  workspace: Workspace,
): MadeTensor {
  selectKernels();
  const known = pruned === undefined ? undefined : readPruned(pruned, workspace);
  const made =
    known === undefined
      ? transformTensor(step, readExtents(step.source, paths, workspace), options)
      : storePruned(step, known, pruned!.counts, options);
  const { kind, facts } = made;
  const told = { kind, ...(facts === undefined ? {} : { facts }) };
  if (made.kind === "packed") {
    const parts = made.weight.tensors.map(({ suffix, ...tensor }) => ({
      name: step.name + suffix,
      ...tensor,
    }));
    return { ...told, parts, sha256: hashParts(parts) };
  }
  const { name, dtype, shape } = step;
  if (target !== undefined) writeRange(target, made.bytes);
  return {
    ...told,
    parts: [],
    sha256: target === undefined ? "" : hashParts([{ name, dtype, shape, bytes: made.bytes }]),
    ...(made.reason === undefined ? {} : { reason: made.reason }),
  };
}

/** Undefined where the bytes that were written are not there. */
function readPruned(
  { path, begin, end, sha256 }: PrunedPlace,
  workspace: Workspace,
): Uint8Array<ArrayBuffer> | undefined {
  const bytes = workspace.take(end - begin);
  try {
    readInto(path, begin, bytes);
  } catch {
    return undefined; // made again, like one with other bytes
  }
  return createHash("sha256").update(bytes).digest("hex") === sha256 ? bytes : undefined;
}

function hashParts(parts: readonly (HashedPart & { readonly bytes: Uint8Array })[]): string {
  const hash = startTensorHash();
  for (const part of parts) {
    beginPart(hash, part);
    hash.update(part.bytes);
  }
  return hash.digest("hex");
}

/** The dense matrices of a step, before pruning, outputs first, as the survey sees them. */
function survey(
  { step, paths, state, stats }: Task & { readonly kind: "survey" },
  workspace: Workspace,
): { counts: Float64Array } {
  const kernels = selectKernels();
  const { prune: settings, ...unpruned } = step;
  const pruner = configurePruner(settings!);
  if (pruner.survey === undefined)
    throw new SpInferError("E_INTERNAL", `${pruner.name} asks for no survey`);
  const made = transformTensor(unpruned, readExtents(step.source, paths, workspace), {
    strictFinite: false,
    keepDense: true,
  });
  if (made.kind !== "dense") throw new SpInferError("E_INTERNAL", `${step.name} was packed`);
  const { rows, cols } = step.matrix!;
  const dtype = step.dtype as WeightDtype;
  const weight = { name: step.name, rows, cols, dtype, bits: bitsOf(made.bytes, dtype) };
  const context = { ...kernels, stats: readStats(stats, pruner.needs, true) };
  return { counts: pruner.survey.gather(weight, state, context) };
}

function prunedValues({
  weights,
  paths,
  stats,
}: Task & { readonly kind: "values" }): PrunedValues[] {
  selectKernels();
  const statsOf = readOnce();
  return weights.map(({ step, decision, target }) => {
    const options = { strictFinite: false, keepDense: true, decision, stats };
    const made = transformTensor(step, readExtents(step.source, paths), options, statsOf);
    if (made.kind !== "dense" || made.facts === undefined)
      throw new SpInferError("E_INTERNAL", `${step.name} was packed`);
    const { nonfinite, overflowed, underflowed } = made.facts;
    if (target !== undefined) writeRange(target, made.bytes);
    return {
      values: floatsOf(made.bytes, step.dtype as WeightDtype),
      sha256: target === undefined ? "" : createHash("sha256").update(made.bytes).digest("hex"),
      counts: { nonfinite, overflowed, underflowed },
    };
  });
}

/** Keeps what it read last, for weights with the same statistics and needs. */
function readOnce(): StatsReader {
  let last: { readonly needs: string; readonly stats: ActivationStats } | undefined;
  return (place, asked) => {
    const needs = asked.join();
    if (last?.needs !== needs) last = { needs, stats: readStats(place, asked) };
    return last.stats;
  };
}

/** Values as float32, in an array of their own. */
function floatsOf(bytes: Uint8Array<ArrayBuffer>, dtype: WeightDtype): Float32Array {
  const bits = bitsOf(bytes, dtype);
  if (bits instanceof Uint32Array)
    return new Float32Array(bits.buffer, bits.byteOffset, bits.length).slice();
  const values = new Float32Array(bits.length);
  selectKernels().widen(bits, dtype as HalfDtype, values);
  return values;
}

/** The dense bytes of a stored tensor; everything about it is checked on the way. */
export function decodeEntry(entry: TensorEntry, paths: Paths): Uint8Array {
  selectKernels();
  const stored = readExtents(entry, paths);
  if (entry.encoding === undefined) return stored[0]!;
  const format = formats.get(entry.encoding.format);
  if (format.decode === undefined) {
    throw new SpInferError("E_INTERNAL", `${format.name} cannot decode`);
  }
  return format.decode({ ...entry, encoding: entry.encoding }, stored).bytes;
}

/** Checks the stored bytes of an encoded tensor; plain ones have nothing to check. */
function checkEntry(entry: TensorEntry, paths: Paths): void {
  if (entry.encoding === undefined) return;
  const format = formats.get(entry.encoding.format);
  const check = format.check ?? format.decode;
  check?.({ ...entry, encoding: entry.encoding }, readExtents(entry, paths));
}

/** Elements with a bit set; those of less than a byte are counted by the byte. */
function countNonzeroElements({ dtype }: TensorEntry, bytes: Uint8Array): number {
  const width = isDtype(dtype) ? Math.max(1, DTYPE_BITS[dtype] / 8) : 1;
  let count = 0;
  for (let at = 0; at < bytes.length; at += width) {
    let bits = 0;
    for (let i = 0; i < width; i++) bits |= bytes[at + i]!;
    count += bits === 0 ? 0 : 1;
  }
  return count;
}

function compare(
  task: Task & { readonly kind: "compare" },
  workspace: Workspace,
): TaskResults["compare"] {
  selectKernels();
  const made = transformTensor(task.step, readExtents(task.step.source, task.paths, workspace), {
    ...task.options,
    keepDense: true,
  });
  if (made.kind !== "dense") throw new SpInferError("E_INTERNAL", `${task.step.name} was packed`);
  const expected = made.bytes;
  const found = decodeEntry(task.stored, task.storedPaths);
  if (expected.length === found.length && Buffer.compare(expected, found) === 0)
    return { differences: 0 };
  const width = task.step.dtype === "F32" ? 4 : 2;
  let differences = 0;
  let first: Difference | undefined;
  for (let at = 0; at < Math.max(expected.length, found.length); at += width) {
    const [want, have] = [expected, found].map((bytes) =>
      Buffer.from(bytes.subarray(at, at + width))
        .reverse()
        .toString("hex"),
    );
    if (want === have) continue;
    differences++;
    first ??= { index: at / width, expected: `0x${want}`, found: `0x${have}` };
  }
  return { differences, ...(first === undefined ? {} : { difference: first }) };
}
