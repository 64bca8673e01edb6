/**
 * One tensor's way from its stored bytes to what is written: decode, cast, prune, pack. Pure but
 * for the memory it is handed. Runs in worker threads; `verify` runs it again to compare.
 *
 * Memory: the values once (twice while they are decoded, cast or transposed), and what comes out.
 */

import type { PackedWeight } from "../../../formats/defineFormat.ts";
import { countNonzeros, formats } from "../../../formats/index.ts";
import type { ActivationStats, PruneContext, StatName } from "../../../pruners/definePruner.ts";
import type { WeightBits } from "../../../pruners/select.ts";
import { type HalfDtype, isHalfDtype, isWeightDtype, type WeightDtype } from "../../core/dtype.ts";
import { SpInferError } from "../../core/errors.ts";
import { castFloats, INFINITY_BITS } from "../../core/half.ts";
import { transposeInto } from "../../core/transpose.ts";
import { HEADER_LINE_BYTES, weightPacker } from "../plan/packedSize.ts";
import { configurePruner } from "../plan/selection.ts";
import type { TensorStep } from "../plan/steps.ts";
import { selectKernels } from "./accelerate.ts";
import { readStats, type StatsPlace } from "./activationStats.ts";

/** What became of a tensor's values. */
export interface ValueFacts {
  readonly values: number;
  readonly nonzeros: number;
  /** NaN and infinity. */
  readonly nonfinite: number;
  readonly overflowed: number;
  readonly underflowed: number;
  readonly maxChunkNonzeros?: number;
}

export type Transformed =
  | { readonly kind: "packed"; readonly weight: PackedWeight; readonly facts: ValueFacts }
  | {
      readonly kind: "dense";
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly facts?: ValueFacts;
      /** Why it was not packed, when it could have been. */
      readonly reason?: string;
    };

export interface TransformOptions {
  readonly strictFinite: boolean;
  /** The survey's decision about this tensor, for pruners that ask for one. */
  readonly decision?: unknown;
  /** What is known of its inputs, for pruners that ask for that. */
  readonly stats?: StatsPlace | undefined;
  /** Leave the matrix dense whatever it is planned to become. */
  readonly keepDense?: boolean;
}

/** Reads what `needs` names of the statistics; one that is shared reads them once. */
export type StatsReader = (
  place: StatsPlace | undefined,
  needs: readonly StatName[],
) => ActivationStats;

/** `stored`: the bytes of each of the source's extents; they are changed, and what comes out may be in them. */
export function transformTensor(
  step: TensorStep,
  stored: readonly Uint8Array<ArrayBuffer>[],
  options: TransformOptions,
  statsOf: StatsReader = readStats,
): Transformed {
  const decoded = decode(step, stored);
  if (!isWeightDtype(step.dtype)) return { kind: "dense", bytes: decoded.bytes };
  const cast = castValues(decoded.bytes, step.source.dtype as WeightDtype, step.dtype);
  const overflowed = decoded.overflowed + cast.overflowed;
  const underflowed = decoded.underflowed + cast.underflowed;
  const bits = cast.bits;
  const { kernels } = selectKernels();
  const nonfinite = kernels.countNonfinite(bits, INFINITY_BITS[step.dtype]);
  if (nonfinite > 0 && options.strictFinite) throw notFinite(step, nonfinite);
  const outputsFirst =
    step.orientation === "in-out" ? swapAxes(bits, step, "to outputs first") : bits;
  if (step.prune !== undefined) {
    const before = nonfinite > 0 ? outputsFirst.slice() : undefined;
    pruneMatrices(step, outputsFirst, options, statsOf);
    if (before !== undefined) restoreNonfinite(outputsFirst, before, step.dtype);
  }
  return store(step, outputsFirst, { nonfinite, overflowed, underflowed }, options);
}

/** What happened to values on their way; the other facts are counted when they are stored. */
export type ValueCounts = Pick<ValueFacts, "nonfinite" | "overflowed" | "underflowed">;

/** Goes on with a tensor that was pruned before: `bytes` are its values, in the checkpoint's layout. */
export function storePruned(
  step: TensorStep,
  bytes: Uint8Array<ArrayBuffer>,
  counts: ValueCounts,
  options: TransformOptions,
): Transformed {
  if (counts.nonfinite > 0 && options.strictFinite) throw notFinite(step, counts.nonfinite);
  const bits = bitsOf(bytes, step.dtype as WeightDtype);
  const outputsFirst =
    step.orientation === "in-out" ? swapAxes(bits, step, "to outputs first") : bits;
  return store(step, outputsFirst, counts, options);
}

/** Packs the values of a matrix, or puts them back into the checkpoint's layout. */
function store(
  step: TensorStep,
  outputsFirst: WeightBits,
  counts: ValueCounts,
  options: TransformOptions,
): Transformed {
  const pack = step.store === "auto" && options.keepDense !== true;
  const weight = pack ? packIfSmaller(step, outputsFirst) : undefined;
  const facts = { values: outputsFirst.length, ...counts };
  if (weight !== undefined) {
    const { nonzeros, maxChunkNonzeros } = weight;
    return { kind: "packed", weight, facts: { ...facts, nonzeros, maxChunkNonzeros } };
  }
  const dense = step.orientation === "in-out" ? swapAxes(outputsFirst, step, "back") : outputsFirst;
  const reason = pack ? "packed it would not be smaller" : undefined;
  return {
    kind: "dense",
    bytes: bytesOf(dense),
    facts: { ...facts, nonzeros: nonzerosOf(dense) },
    ...(reason === undefined ? {} : { reason }),
  };
}

interface DecodedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly overflowed: number;
  readonly underflowed: number;
}

function decode({ source }: TensorStep, stored: readonly Uint8Array<ArrayBuffer>[]): DecodedBytes {
  const { encoding } = source;
  if (encoding === undefined) return { bytes: stored[0]!, overflowed: 0, underflowed: 0 };
  const format = formats.get(encoding.format);
  if (format.decode === undefined)
    throw new SpInferError("E_INTERNAL", `${format.name} cannot decode`);
  const { bytes, overflowed = 0, underflowed = 0 } = format.decode({ ...source, encoding }, stored);
  return { bytes: bytes as Uint8Array<ArrayBuffer>, overflowed, underflowed };
}

interface Cast {
  readonly bits: WeightBits;
  readonly overflowed: number;
  readonly underflowed: number;
}

function castValues(bytes: Uint8Array<ArrayBuffer>, from: WeightDtype, to: WeightDtype): Cast {
  const unchanged = { overflowed: 0, underflowed: 0 };
  if (from === to) return { bits: bitsOf(bytes, to), ...unchanged };
  const floats =
    from === "F32"
      ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
      : widened(bytes, from);
  if (to === "F32")
    return { bits: new Uint32Array(floats.buffer, floats.byteOffset, floats.length), ...unchanged };
  const bits = new Uint16Array(floats.length);
  return { bits, ...castFloats(floats, to, bits) };
}

function widened(bytes: Uint8Array<ArrayBuffer>, from: HalfDtype): Float32Array<ArrayBuffer> {
  const floats = new Float32Array(bytes.length / 2);
  selectKernels().widen(
    new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2),
    from,
    floats,
  );
  return floats;
}

/** The bits of little-endian values. */
export function bitsOf(bytes: Uint8Array<ArrayBuffer>, dtype: WeightDtype): WeightBits {
  if (dtype === "F32") return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
}

function bytesOf(bits: WeightBits): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bits.buffer as ArrayBuffer, bits.byteOffset, bits.byteLength);
}

function swapAxes(
  bits: WeightBits,
  step: TensorStep,
  direction: "to outputs first" | "back",
): WeightBits {
  const { rows, cols } = step.matrix!;
  const out =
    bits instanceof Uint16Array ? new Uint16Array(bits.length) : new Uint32Array(bits.length);
  const [from, to] = direction === "back" ? [rows, cols] : [cols, rows];
  for (let i = 0; i < step.matrices; i++) {
    const part = [i * rows * cols, (i + 1) * rows * cols] as const;
    transposeInto(bits.subarray(...part) as never, out.subarray(...part) as never, from, to);
  }
  return out;
}

function pruneMatrices(
  step: TensorStep,
  bits: WeightBits,
  { decision, stats }: TransformOptions,
  statsOf: StatsReader,
): void {
  const pruner = configurePruner(step.prune!);
  const { rows, cols } = step.matrix!;
  const context: PruneContext = {
    ...selectKernels(),
    stats: statsOf(stats, pruner.needs),
    ...(decision === undefined ? {} : { decision }),
  };
  // a decision is about all of the tensor's weights together
  const matrices = decision === undefined ? step.matrices : 1;
  const height = (rows * step.matrices) / matrices;
  for (let i = 0; i < matrices; i++) {
    const name = matrices === 1 ? step.name : `${step.name}[${i}]`;
    const part = bits.subarray(i * height * cols, (i + 1) * height * cols);
    pruner.prune(
      { name, rows: height, cols, dtype: step.dtype as WeightDtype, bits: part },
      context,
    );
  }
}

/** Non-finite weights are the last to go; those that went all the same come back. */
function restoreNonfinite(bits: WeightBits, before: WeightBits, dtype: WeightDtype): void {
  const infinity = INFINITY_BITS[dtype];
  const mask = bits instanceof Uint16Array ? 0x7fff : 0x7fff_ffff;
  for (let i = 0; i < bits.length; i++) {
    if ((before[i]! & mask) >= infinity) bits[i] = before[i]!;
  }
}

function packIfSmaller(step: TensorStep, bits: WeightBits): PackedWeight | undefined {
  const { rows, cols } = step.matrix!;
  const { dtype } = step;
  if (!(bits instanceof Uint16Array) || !isHalfDtype(dtype)) return undefined;
  const packer = weightPacker();
  const expected = packer.size(rows, cols, countNonzeros(bits)).expected;
  if (expected >= bits.byteLength) return undefined;
  const weight = packer.pack({ rows, cols, dtype, bits }, step.orientation === "in-out", true);
  const bytes = weight.tensors.reduce(
    (sum, tensor) => sum + tensor.bytes.length,
    HEADER_LINE_BYTES,
  );
  return bytes < bits.byteLength ? weight : undefined;
}

function nonzerosOf(bits: WeightBits): number {
  if (bits instanceof Uint16Array) return countNonzeros(bits);
  let count = 0;
  for (let i = 0; i < bits.length; i++) count += bits[i] === 0 ? 0 : 1;
  return count;
}

function notFinite({ name }: TensorStep, count: number): SpInferError {
  return new SpInferError(
    "E_NONFINITE",
    `tensor "${name}" holds ${count} values that are NaN or infinite`,
    {
      tensor: name,
      expected: "finite weights, as --strict-finite asks",
      hint: "without --strict-finite such values are kept and reported",
    },
  );
}
