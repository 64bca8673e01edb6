/**
 * What the steps of a plan hold in memory, and how much may be held together: the process stays
 * under three times the largest tensor and 256 MiB.
 */
import { elementCount } from "../../core/dtype.ts";
import { configurePruner } from "./selection.ts";
import type { TensorStep } from "./steps.ts";

/** A payload that takes more of the matrix than this may not find room in its place. */
const IN_PLACE_SHARE = 0.8;

/** Bytes that a step holds while it is worked on: what is read, and what is made of it beside it. */
export function footprint(step: TensorStep): number {
  if (step.copy) return 0;
  const values = (elementCount(step.shape) ?? 0) * (step.dtype === "F32" ? 4 : 2);
  const decoded = step.source.encoding !== undefined || step.source.dtype !== step.dtype;
  const beside = step.store === "auto" && step.bytesOut.expected > IN_PLACE_SHARE * values;
  const copies =
    (decoded ? 1 : 0) +
    (step.orientation === "in-out" ? 1 : 0) +
    (step.orientation === "in-out" && step.store === "dense" ? 1 : 0);
  return (
    step.bytesIn + copies * values + (beside ? step.bytesOut.expected : 0) + pruningBytes(step)
  );
}

/** What pruning by activations needs besides the weights: a Gram matrix is inverted in float64. */
function pruningBytes({ prune, matrix }: TensorStep): number {
  if (prune === undefined || matrix === undefined) return 0;
  const { rows, cols } = matrix;
  const { needs } = configurePruner(prune);
  const [triangle, square] = [2 * cols * cols, 8 * cols * cols];
  if (needs.includes("gram")) return triangle + 3 * square + 8 * rows * cols;
  return needs.includes("inputSums") ? 4 * rows * cols : 0; // the weights once more
}

const MIB = 1024 * 1024;
/** Measured with Node 20: the process with its code, and a thread with its buffers. */
const PROCESS_BYTES = 90 * MIB;
const THREAD_BYTES = 30 * MIB;

/**
 * Threads that have something to do within the memory bound: as many as can each hold a tensor, of
 * the size that the middle byte of the model is in.
 */
export function threadsThatFit(steps: readonly TensorStep[], asked: number): number {
  const sizes = steps.map(footprint).sort((a, b) => b - a);
  let rest = sizes.reduce((sum, bytes) => sum + bytes, 0) / 2;
  const middle =
    sizes.find((bytes) => {
      rest -= bytes;
      return rest <= 0;
    }) ?? 0;
  const fitting = Math.floor(memoryBudget(steps, 0) / (THREAD_BYTES + middle));
  return Math.min(asked, Math.max(1, fitting));
}

/** Estimate of the most memory that a run holds. */
export function estimateMemory(steps: readonly TensorStep[], threads: number): number {
  const largest = steps.map(footprint).sort((a, b) => b - a);
  const together = largest.slice(0, threads + 1).reduce((sum, bytes) => sum + bytes, 0);
  return (
    PROCESS_BYTES +
    THREAD_BYTES * threads +
    Math.min(together, Math.max(largest[0] ?? 0, memoryBudget(steps, threads)))
  );
}

/** Bytes that steps in flight may hold together: the process stays under 3 × the largest tensor + 256 MiB. */
export function memoryBudget(steps: readonly TensorStep[], threads: number): number {
  const largest = steps.reduce(
    (most, { bytesIn, bytesOut }) => Math.max(most, bytesIn, bytesOut.most),
    0,
  );
  return 3 * largest + 256 * MIB - PROCESS_BYTES - THREAD_BYTES * threads;
}
