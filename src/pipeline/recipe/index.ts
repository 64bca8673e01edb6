export { defaultRecipe } from "./defaults.ts";
export { LARGEST_RECIPE_BYTES } from "./prescan.ts";
export { defaultRecipeYaml, PRESETS, type Preset } from "./presets.ts";
export { readRecipe } from "./read.ts";
export { type RecipeFlags, type ResolvedRecipe, resolveRecipe } from "./resolve.ts";
export {
  type ConvertRecipe,
  DTYPE_NAMES,
  type DtypeName,
  type LayerSettings,
  type MethodOptions,
  type Override,
  type PruneRecipe,
  parseGroups,
  patternSparsity,
  RECIPE_DEFAULTS,
  type Recipe,
  recipeFile,
  SCOPES,
  type Scope,
  TARGET_FORMATS,
  type TargetFormat,
} from "./schema.ts";
export { type Choice, chooseTensors, type RoledTensor } from "./targets.ts";
export { recipeToYaml } from "./write.ts";
