/** Tensors to files: in the source's order, each file at most `maxShardBytes` large. */
import { planHeader } from "../../../formats/index.ts";
import { type Dtype, isDtype } from "../../core/dtype.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { weightPacker } from "./packedSize.ts";
import type { ShardPlan, TensorStep } from "./steps.ts";

/** Before the header stands its length. */
const LENGTH_BYTES = 8;
/** A header may be twice as long; staying below leaves room for what a line is overestimated. */
const MAX_HEADER_BYTES = DEFAULT_LIMITS.headerBytes / 2;
/** What an offset may grow by when other tensors come before it, in a tensor's three lines at most. */
const OFFSET_GROWTH_BYTES = 3 * 2 * 15;

/**
 * Sizes are taken at their most, header and all, so that no file can turn out too large; a tensor
 * larger than the limit gets a file of its own. One file is `model.safetensors`, several are
 * numbered.
 */
export function planShards(steps: readonly TensorStep[], maxShardBytes: number): ShardPlan[] {
  const groups: TensorStep[][] = [[]];
  let header = 0;
  let bytes = 0;
  for (const step of steps) {
    const lines = planHeader(plannedTensors(step)) + OFFSET_GROWTH_BYTES;
    const tooLarge = LENGTH_BYTES + header + lines + bytes + step.bytesOut.most > maxShardBytes;
    if (header > 0 && (tooLarge || header + lines > MAX_HEADER_BYTES)) {
      groups.push([]);
      header = 0;
      bytes = 0;
    }
    groups.at(-1)!.push(step);
    header += lines;
    bytes += step.bytesOut.most;
  }
  return groups.map((group, i) => ({
    file: shardName(i + 1, groups.length),
    tensors: group.map(({ name }) => name),
    headerBytes: planHeader(group.flatMap(plannedTensors)),
  }));
}

function shardName(number: number, of: number): string {
  if (of === 1) return "model.safetensors";
  const digits = (n: number): string => String(n).padStart(5, "0");
  return `model-${digits(number)}-of-${digits(of)}.safetensors`;
}

function plannedTensors(
  step: TensorStep,
): { name: string; dtype: Dtype; maxShape: readonly number[] }[] {
  const dtype = isDtype(step.dtype) ? step.dtype : "U8";
  const dense = {
    name: step.name,
    dtype,
    maxShape: isDtype(step.dtype) ? step.shape : [...step.shape, step.bytesIn],
  };
  if (step.store === "dense") return [dense];
  const { most } = step.bytesOut;
  const packed = weightPacker().tensors.map(({ suffix, dtype: type }) => ({
    name: step.name + suffix,
    dtype: type,
    maxShape: [Math.ceil(most / 8)],
  }));
  // whichever form it takes in the end, there is room for both
  return [dense, ...packed];
}
