/** Recipes for tests, and the shortest way to run one. */
import { join } from "node:path";
import { executeRecipe, type RunOptions } from "../../src/pipeline/execute.ts";
import {
  type ConvertRecipe,
  defaultRecipe,
  type PruneRecipe,
  type Recipe,
} from "../../src/pipeline/recipe/index.ts";
import type { RunReport } from "../../src/pipeline/runReport.ts";
import { type ModelFolder, temporaryFolder, writeModel } from "../helpers/models.ts";

export function pruneRecipe(
  prune: Partial<PruneRecipe> = {},
  convert: Partial<ConvertRecipe> = {},
): Recipe {
  const recipe = defaultRecipe("prune");
  return {
    ...recipe,
    prune: { ...recipe.prune!, ...prune },
    convert: { ...recipe.convert, ...convert },
  };
}

export function convertRecipe(convert: Partial<ConvertRecipe> = {}): Recipe {
  const recipe = defaultRecipe("convert");
  return { ...recipe, convert: { ...recipe.convert, ...convert } };
}

export interface Ran {
  /** Folder that holds `model` and `out`. */
  readonly folder: string;
  readonly model: string;
  readonly output: string;
  readonly report: RunReport;
}

/** Writes a model beside an output that a recipe makes of it, in a folder that goes after the test. */
export async function runOn(
  model: ModelFolder,
  recipe: Recipe,
  options: RunOptions = {},
): Promise<Ran> {
  const folder = temporaryFolder();
  const source = writeModel(join(folder, "model"), model);
  const output = join(folder, "out");
  return {
    folder,
    model: source,
    output,
    report: await executeRecipe(source, output, recipe, options),
  };
}
