/** A recipe of any kind: one that says its sparsity, a size, or a limit that measuring has to find. */
import { executeRecipe, type RunOptions } from "./execute.ts";
import { perplexityLimit, type Recipe } from "./recipe/index.ts";
import type { RunReport } from "./runReport.ts";
import { pruneToPerplexity } from "./search/search.ts";

/** Prunes or converts a model as the recipe says. The recipe names no output; `output` does. */
export async function runRecipe(
  model: string,
  output: string,
  recipe: Recipe,
  options: RunOptions = {},
): Promise<RunReport> {
  const searches = perplexityLimit(recipe.prune?.target) !== undefined;
  return await (searches ? pruneToPerplexity : executeRecipe)(model, output, recipe, options);
}
