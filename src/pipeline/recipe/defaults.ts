/** From what the user wrote to what the pipeline sees. */
import type { WeightDtype } from "../../core/dtype.ts";
import { parseBytes } from "../../core/text.ts";
import {
  type CalibrationMode,
  type CalibrationRecipe,
  type ConvertRecipe,
  RECIPE_DEFAULTS as DEFAULTS,
  type DtypeName,
  type EvaluationRecipe,
  METHOD_OPTIONS,
  type MethodOptions,
  type Override,
  type PruneRecipe,
  patternSparsity,
  perplexityLimit,
  RECIPE_VERSION,
  type Recipe,
  type RecipeFile,
} from "./schema.ts";

/** A recipe for a command without a recipe file; flags are put on it with `resolveRecipe`. */
export function defaultRecipe(command: "prune" | "convert"): Recipe {
  const version = RECIPE_VERSION;
  return fillDefaults(
    command === "prune" ? { version, prune: { sparsity: DEFAULTS.sparsity } } : { version },
  );
}

/** `file` has passed the schema and `conflictsOf`. */
export function fillDefaults(file: RecipeFile): Recipe {
  const { name, description, model, output, prune, calibration, evaluation, convert } = file;
  const limit = perplexityLimit(prune?.target);
  const mode = limit === undefined ? DEFAULTS.mode : DEFAULTS.searchMode;
  return {
    version: RECIPE_VERSION,
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(model === undefined ? {} : { model }),
    ...(output === undefined ? {} : { output }),
    ...(prune === undefined ? {} : { prune: fillPrune(prune, calibration?.data !== undefined) }),
    ...(calibration === undefined ? {} : { calibration: fillCalibration(calibration, mode) }),
    ...(limit === undefined ? {} : { evaluation: fillEvaluation(evaluation ?? {}) }),
    convert: fillConvert(convert ?? {}),
  };
}

export function weightDtype(name: DtypeName): WeightDtype {
  return name.toUpperCase() as Uppercase<DtypeName>;
}

/** With a text to calibrate on, the method is one that uses it. */
function fillPrune(prune: NonNullable<RecipeFile["prune"]>, calibrated: boolean): PruneRecipe {
  const pattern = prune.pattern ?? DEFAULTS.pattern;
  return {
    method: prune.method ?? (calibrated ? DEFAULTS.calibratedMethod : DEFAULTS.method),
    sparsity: patternSparsity(pattern) ?? prune.sparsity ?? DEFAULTS.sparsity,
    pattern,
    options: fillOptions(prune),
    targets: prune.targets ?? DEFAULTS.targets,
    ignore: prune.ignore ?? DEFAULTS.ignore,
    allowEmpty: prune.allow_empty ?? DEFAULTS.allowEmpty,
    ...(prune.target === undefined ? {} : { target: prune.target }),
    overrides: (prune.overrides ?? DEFAULTS.overrides).map(fillOverride),
  };
}

function fillOverride(
  override: NonNullable<NonNullable<RecipeFile["prune"]>["overrides"]>[number],
): Override {
  const { targets, skip = false, method, pattern } = override;
  const sparsity = patternSparsity(pattern ?? "") ?? override.sparsity;
  return {
    targets,
    skip,
    ...(method === undefined ? {} : { method }),
    ...(sparsity === undefined ? {} : { sparsity }),
    ...(pattern === undefined ? {} : { pattern }),
    options: fillOptions(override),
  };
}

type Given<Options> = { readonly [Key in keyof Options]?: Options[Key] | undefined };

function fillOptions(given: Given<MethodOptions>): MethodOptions {
  return Object.fromEntries(
    METHOD_OPTIONS.filter((key) => given[key] !== undefined).map((key) => [key, given[key]]),
  );
}

function fillCalibration(
  given: NonNullable<RecipeFile["calibration"]>,
  mode: CalibrationMode,
): CalibrationRecipe {
  const { data, field, seqlen } = given;
  return {
    ...(data === undefined ? {} : { data }),
    ...(field === undefined ? {} : { field }),
    nsamples: given.nsamples ?? DEFAULTS.nsamples,
    ...(seqlen === undefined ? {} : { seqlen }),
    windows: given.windows ?? DEFAULTS.windows,
    seed: given.seed ?? DEFAULTS.calibrationSeed,
    mode: given.mode ?? mode,
  };
}

function fillEvaluation(given: NonNullable<RecipeFile["evaluation"]>): EvaluationRecipe {
  const { data, field, protocol, ctx, stride, max_windows, bos } = given;
  return {
    ...(data === undefined ? {} : { data }),
    ...(field === undefined ? {} : { field }),
    protocol: protocol ?? DEFAULTS.protocol,
    ...(ctx === undefined ? {} : { ctx }),
    ...(stride === undefined ? {} : { stride }),
    ...(max_windows === undefined ? {} : { maxWindows: max_windows }),
    ...(bos === undefined ? {} : { bos }),
  };
}

function fillConvert(convert: NonNullable<RecipeFile["convert"]>): ConvertRecipe {
  const size = convert.max_shard_size;
  return {
    to: convert.to ?? DEFAULTS.to,
    ...(convert.dtype === undefined ? {} : { dtype: weightDtype(convert.dtype) }),
    maxShardBytes: (typeof size === "string" ? parseBytes(size) : size) ?? DEFAULTS.maxShardBytes,
    strictFinite: convert.strict_finite ?? DEFAULTS.strictFinite,
  };
}
