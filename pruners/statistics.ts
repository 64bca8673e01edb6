/** The statistics that a pruner asked for, checked before they are used. */
import { SpInferError } from "../src/core/errors.ts";
import type { ActivationStats, StatName, WeightMatrix } from "./definePruner.ts";

type Named = Pick<WeightMatrix, "name" | "cols">;

const WORDS: Readonly<Record<StatName, string>> = {
  inputNorms: "norms of its inputs",
  inputSums: "sums of its inputs",
  gram: "the Gram matrix of its inputs",
};

/** Throws E_STATS_MISSING, E_STATS_MISMATCH, E_STATS_VALUE. */
export function statistic(
  { name, cols }: Named,
  stats: ActivationStats,
  which: StatName,
): Float64Array {
  const values = stats[which];
  if (values === undefined) {
    throw new SpInferError("E_STATS_MISSING", `${name}: there are no ${WORDS[which]}`, {
      tensor: name,
      hint: "calibrate with --calib TEXT, or give a statistics file with --stats FILE",
    });
  }
  const expected = which === "gram" ? cols * cols : cols;
  if (values.length !== expected) {
    throw new SpInferError(
      "E_STATS_MISMATCH",
      `${name}: the ${WORDS[which]} are of another shape`,
      { tensor: name, found: `${values.length} values`, expected: `${expected} values` },
    );
  }
  const least = which === "inputNorms" ? 0 : Number.NEGATIVE_INFINITY;
  const bad = firstOutside(values, least);
  if (bad < 0) return values;
  throw new SpInferError("E_STATS_VALUE", `${name}: the ${WORDS[which]} hold ${values[bad]}`, {
    tensor: name,
    found: `${values[bad]} at ${bad}`,
    expected: which === "inputNorms" ? "finite numbers of 0 or more" : "finite numbers",
    hint: "the model gave NaN or infinity on the calibration text; look at its weights, or use f32",
  });
}

/** The first value that is less than `least`, infinite or no number; −1: there is none. */
function firstOutside(values: Float64Array, least: number): number {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!(value >= least && value - value === 0)) return i;
  }
  return -1;
}

/** Tokens and samples that the sums are over. Throws E_STATS_MISSING. */
export function sampleCounts(
  { name }: Named,
  { tokens, samples }: ActivationStats,
): { readonly tokens: number; readonly samples: number } {
  if (tokens !== undefined && samples !== undefined && tokens > 0 && samples > 0)
    return { tokens, samples };
  throw new SpInferError(
    "E_STATS_MISSING",
    `${name}: the statistics do not say of how many tokens`,
    {
      tensor: name,
      hint: "calibrate again",
    },
  );
}
