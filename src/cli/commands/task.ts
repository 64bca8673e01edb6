/** What a command line that prunes or converts asks for: the recipe with its flags, model, output. */
import { SpInferError } from "../../core/errors.ts";
import { readSmallFile, writeSmallFile } from "../../io/smallFile.ts";
import { isJsonLines } from "../../io/textFiles.ts";
import {
  defaultRecipe,
  LARGEST_RECIPE_BYTES,
  type Recipe,
  type RecipeFlags,
  readRecipe,
  recipeToYaml,
  resolveRecipe,
} from "../../pipeline/recipe/index.ts";
import type { Arguments } from "../commandLine/arguments.ts";
import type { Invocation } from "../invocation.ts";

/** Without a method of the user's choice, when there is something to look at besides weights. */
const METHOD_WITH_INPUTS = "wanda";

export interface Task {
  readonly recipe: Recipe;
  readonly model: string;
  /** Absent: none was named. */
  readonly output: string | undefined;
  /** What the command line changed in a recipe file, as sentences. */
  readonly overridden: readonly string[];
}

/**
 * `file` is the recipe to begin with; without one it is the default of `kind`.
 * Throws E_USAGE without a model, and what reading and resolving the recipe throw.
 */
export async function readTask(
  invocation: Invocation,
  kind: "prune" | "convert",
  file: string | undefined,
): Promise<Task> {
  const { arguments: given } = invocation;
  const base = file === undefined ? defaultRecipe(kind) : await readRecipeFile(file);
  const flags = recipeFlags(given);
  const hasInputs = given.has("calib") || given.has("stats");
  if (file === undefined && kind === "prune" && hasInputs) flags.method ??= METHOD_WITH_INPUTS;
  const resolved = resolveRecipe(base, flags, file);
  const { recipe } = resolved;
  const overridden = file === undefined ? [] : [...resolved.overridden];
  for (const name of ["model", "output"] as const) {
    const value = given.text(name);
    if (value === undefined || recipe[name] === undefined || recipe[name] === value) continue;
    overridden.push(`${name} ${value} replaces ${name} ${recipe[name]} of ${file}`);
  }
  for (const message of overridden) invocation.warn({ code: "W_OVERRIDDEN", message });
  const model = given.text("model") ?? recipe.model;
  if (model === undefined) {
    throw new SpInferError("E_USAGE", `${file}: the recipe names no model`, {
      expected: "model: in the recipe, or MODEL on the command line",
    });
  }
  const saved = given.text("save-recipe");
  if (saved !== undefined) await writeSmallFile(saved, recipeToYaml(recipe), given.flag("force"));
  return { recipe, model, output: given.text("output") ?? recipe.output, overridden };
}

/** Bounded before it is read: a recipe is small. */
export async function readRecipeFile(path: string): Promise<Recipe> {
  // one byte more than is allowed is enough to be refused for its size
  return readRecipe(await readSmallFile(path, LARGEST_RECIPE_BYTES + 1), path);
}

/** There may be two texts, and --field is about JSON lines: of those that are, or of the only one. */
function fields(given: Arguments): Pick<RecipeFlags, "field" | "datasetField"> {
  const [field, calib, dataset] = ["field", "calib", "dataset"].map((name) => given.text(name));
  if (dataset === undefined) return { field };
  if (calib === undefined) return { datasetField: field };
  return {
    field: isJsonLines(calib) ? field : undefined,
    datasetField: isJsonLines(dataset) ? field : undefined,
  };
}

/** The settings that flags put on a recipe. */
export function recipeFlags(given: Arguments): {
  -readonly [Key in keyof RecipeFlags]: RecipeFlags[Key];
} {
  return {
    method: given.text("method"),
    sparsity: given.text("sparsity"),
    target: given.text("target"),
    pattern: given.text("pattern"),
    scope: given.text("scope"),
    seed: given.text("seed"),
    targets: given.list("targets"),
    ignore: given.list("ignore"),
    allocation: given.text("allocation"),
    calib: given.text("calib"),
    ...fields(given),
    nsamples: given.text("nsamples"),
    seqlen: given.text("seqlen"),
    windows: given.text("windows"),
    mode: given.text("mode"),
    dataset: given.text("dataset"),
    protocol: given.text("protocol"),
    ctx: given.text("ctx"),
    stride: given.text("stride"),
    maxWindows: given.text("max-windows"),
    bos: given.text("bos"),
    allowEmpty: given.flag("allow-empty") ? true : undefined,
    to: given.text("to"),
    dtype: given.text("dtype"),
    maxShardSize: given.text("max-shard-size"),
    strictFinite: given.flag("strict-finite") ? true : undefined,
  };
}
