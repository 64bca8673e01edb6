export { defaultRecipe } from "./defaults.ts";
export { importRecipe } from "./importRecipe.ts";
export { LARGEST_RECIPE_BYTES } from "./prescan.ts";
export { defaultRecipeYaml, PRESETS } from "./presets.ts";
export { readRecipe } from "./read.ts";
export { type RecipeFlags, resolveRecipe } from "./resolve.ts";
export {
  type CalibrationRecipe,
  type ConvertRecipe,
  type LayerSettings,
  type Override,
  type PerplexityLimit,
  type PruneRecipe,
  parseTarget,
  patternSparsity,
  perplexityLimit,
  type Recipe,
  SCOPES,
  TARGET_FORMATS,
} from "./schema.ts";
export { chooseTensors } from "./targets.ts";
export { recipeToYaml } from "./write.ts";
