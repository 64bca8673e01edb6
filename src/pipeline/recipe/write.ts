/** A recipe as YAML again: every value written out, keys in one order, so equal recipes are equal text. */
import { stringify } from "yaml";
import {
  type DtypeName,
  type EvaluationRecipe,
  type LayerSettings,
  type Override,
  type PruneRecipe,
  patternSparsity,
  type Recipe,
  type RecipeFile,
} from "./schema.ts";

type PruneFile = NonNullable<RecipeFile["prune"]>;

/** `readRecipe` of it gives the same recipe. */
export function recipeToYaml(recipe: Recipe): string {
  return stringify(recipeToFile(recipe), {
    version: "1.2",
    schema: "core",
    // quotes what a YAML 1.1 reader (PyYAML) would take for something else: 2:4 is 124 there
    compat: "yaml-1.1",
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}

/** The recipe in the words of its file. */
export function recipeToFile(recipe: Recipe): RecipeFile {
  const { version, name, description, model, output, prune, calibration, evaluation, convert } =
    recipe;
  const dtype = convert.dtype?.toLowerCase() as DtypeName | undefined;
  return {
    version,
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(model === undefined ? {} : { model }),
    ...(output === undefined ? {} : { output }),
    ...(prune === undefined ? {} : { prune: pruneToFile(prune) }),
    ...(calibration === undefined ? {} : { calibration: { ...calibration } }),
    ...(evaluation === undefined ? {} : { evaluation: evaluationToFile(evaluation) }),
    convert: {
      to: convert.to,
      ...(dtype === undefined ? {} : { dtype }),
      max_shard_size: shortSize(convert.maxShardBytes),
      strict_finite: convert.strictFinite,
    },
  };
}

function evaluationToFile({ maxWindows, ...rest }: EvaluationRecipe) {
  return { ...rest, ...(maxWindows === undefined ? {} : { max_windows: maxWindows }) };
}

function pruneToFile(prune: PruneRecipe): PruneFile {
  const { sparsity, ...settings } = settingsToFile(prune);
  const { target } = prune;
  return {
    ...settings,
    ...(target !== undefined ? { target } : sparsity !== undefined ? { sparsity } : {}),
    targets: [...prune.targets],
    ignore: [...prune.ignore],
    allow_empty: prune.allowEmpty,
    ...(prune.overrides.length === 0 ? {} : { overrides: prune.overrides.map(overrideToFile) }),
  };
}

function overrideToFile(override: Override): NonNullable<PruneFile["overrides"]>[number] {
  const settings = settingsToFile(override);
  const skip = override.skip || Object.keys(settings).length === 0 ? { skip: override.skip } : {};
  return { targets: [...override.targets], ...skip, ...settings };
}

/** An N:M pattern says the sparsity itself. */
function settingsToFile({ method, sparsity, pattern, options }: Partial<LayerSettings>) {
  const implied = patternSparsity(pattern ?? "") !== undefined;
  return {
    ...(method === undefined ? {} : { method }),
    ...(sparsity === undefined || implied ? {} : { sparsity }),
    ...(pattern === undefined ? {} : { pattern }),
    ...options,
  };
}

/** 5000000000 → "5GB"; what is no whole number of a unit stays a number. */
function shortSize(bytes: number): string | number {
  for (const [unit, size] of Object.entries({ GB: 1e9, GiB: 2 ** 30, MB: 1e6, MiB: 2 ** 20 })) {
    if (bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return bytes;
}
