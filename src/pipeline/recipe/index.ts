export { defaultRecipe } from "./defaults.ts";
export { LARGEST_RECIPE_BYTES } from "./prescan.ts";
export { readRecipe } from "./read.ts";
export {
  type ConvertRecipe,
  DTYPE_NAMES,
  type DtypeName,
  type LayerSettings,
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
