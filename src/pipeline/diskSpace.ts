/** Whether the disk has room for what a run writes, its own files included. */
import { SpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { formatBytes } from "../core/text.ts";
import { freeBytes, type OutputFolder } from "../io/outputFolder.ts";
import { blockIndex } from "../model/roles.ts";
import type { ActivationInputs } from "./calibration/inputs.ts";
import { prunedBytes } from "./calibration/prunedWeights.ts";
import { stepsThatNeed } from "./calibration/statisticsFile.ts";
import type { Plan } from "./plan/steps.ts";
import type { Recipe } from "./recipe/index.ts";
import { triangleValues } from "./work/activationStats.ts";

const FLOAT_BYTES = 4;

/** What an earlier run has left is not needed again. Throws E_NO_SPACE. */
export function checkSpace(
  output: OutputFolder,
  plan: Plan,
  recipe: Recipe,
  inputs: ActivationInputs,
): void {
  const free = freeBytes(output.path);
  const gathered =
    inputs.kind === "text" ? leftToGather(output, gatheredBytes(plan, recipe, inputs)) : 0;
  const needed = Math.max(0, plan.totals.bytesOut - bytesIn(output, "placed")) + gathered;
  if (free >= needed) return;
  const what = gathered === 0 ? "the output needs" : "output and calibration need";
  throw new SpInferError(
    "E_NO_SPACE",
    `${output.path}: ${what} ${formatBytes(needed)}, ${formatBytes(free)} are free`,
    {
      path: output.path,
      hint: "free some space or choose another disk; --skip-space-check tries all the same",
    },
  );
}

/** Nothing once the statistics file is made. */
function leftToGather(output: OutputFolder, bytes: number): number {
  if (output.finished.some((record) => isRecord(record) && "statistics" in record)) return 0;
  return Math.max(0, bytes - bytesIn(output, "pruned") - bytesIn(output, "calibrated"));
}

/** Bytes that the journal's records with this key say are in files. */
function bytesIn({ finished }: OutputFolder, key: "placed" | "pruned" | "calibrated"): number {
  let bytes = 0;
  for (const record of finished) {
    if (!isRecord(record) || !(key in record)) continue;
    const ranges = (key === "placed" ? record[key] : [record]) as readonly Range[];
    for (const { begin, end } of ranges) bytes += end - begin;
  }
  return bytes;
}

interface Range {
  readonly begin: number;
  readonly end: number;
}

/**
 * What calibrating writes, at least: the hidden states before and after a block; the statistics, and
 * the file that is made of them; in sequential mode the weights that are pruned on the way. Which
 * weights read the same input is not known yet: those of a block with as many inputs count as one.
 */
function gatheredBytes(
  plan: Plan,
  recipe: Recipe,
  { text, runnable }: ActivationInputs & { readonly kind: "text" },
): number {
  const hidden = 2 * FLOAT_BYTES * text.ids.length * runnable.facts.hidden;
  const grams = new Map<string, number>();
  for (const { name, needs, matrix } of stepsThatNeed(plan)) {
    if (needs.includes("gram"))
      grams.set(`${blockIndex(name)} ${matrix.cols}`, FLOAT_BYTES * triangleValues(matrix.cols));
  }
  const statistics = [...grams.values()].reduce((sum, bytes) => sum + bytes, 0);
  const pruned = recipe.calibration?.mode === "sequential" ? prunedBytes(plan) : 0;
  return hidden + 2 * statistics + pruned;
}
