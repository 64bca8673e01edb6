/** From what the user wrote to what the pipeline sees. */
import type { WeightDtype } from "../../core/dtype.ts";
import { parseBytes } from "../../core/text.ts";
import {
  type ConvertRecipe,
  RECIPE_DEFAULTS as DEFAULTS,
  type DtypeName,
  type MethodOptions,
  type Override,
  type PruneRecipe,
  patternSparsity,
  RECIPE_VERSION,
  type Recipe,
  type RecipeFile,
  type Scope,
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
  const { name, description, model, output, prune, convert } = file;
  return {
    version: RECIPE_VERSION,
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(model === undefined ? {} : { model }),
    ...(output === undefined ? {} : { output }),
    ...(prune === undefined ? {} : { prune: fillPrune(prune) }),
    convert: fillConvert(convert ?? {}),
  };
}

export function weightDtype(name: DtypeName): WeightDtype {
  return name.toUpperCase() as Uppercase<DtypeName>;
}

function fillPrune(prune: NonNullable<RecipeFile["prune"]>): PruneRecipe {
  const pattern = prune.pattern ?? DEFAULTS.pattern;
  return {
    method: prune.method ?? DEFAULTS.method,
    sparsity: patternSparsity(pattern) ?? prune.sparsity ?? DEFAULTS.sparsity,
    pattern,
    options: fillOptions(prune),
    targets: prune.targets ?? DEFAULTS.targets,
    ignore: prune.ignore ?? DEFAULTS.ignore,
    allowEmpty: prune.allow_empty ?? DEFAULTS.allowEmpty,
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

function fillOptions({
  scope,
  seed,
}: {
  readonly scope?: Scope | undefined;
  readonly seed?: number | undefined;
}): MethodOptions {
  return {
    ...(scope === undefined ? {} : { scope }),
    ...(seed === undefined ? {} : { seed }),
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
