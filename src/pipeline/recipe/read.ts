/**
 * A recipe file, checked and with every default filled in. Memory: the text is at most 256 KiB.
 * Recipes may come from strangers: size and depth are bounded before parsing, see prescan.ts.
 */

import { fillDefaults } from "./defaults.ts";
import { parseYaml, type RecipeDocument } from "./document.ts";
import { problemsOf } from "./issues.ts";
import { checkText, decodeRecipe } from "./prescan.ts";
import { type Problem, recipeError } from "./problem.ts";
import { type Recipe, recipeFile } from "./schema.ts";
import { conflictsOf } from "./together.ts";

/**
 * Reads the text or bytes of a recipe; `label` is its path, for messages.
 *
 * Throws E_RECIPE_LIMIT, E_RECIPE_ENCODING, E_RECIPE_SYNTAX, E_RECIPE_ALIAS, E_RECIPE_UNKNOWN_KEY,
 * E_RECIPE_VALUE and E_PATTERN; the message has a `file:line:col` and a caret for each problem.
 */
export function readRecipe(content: string | Uint8Array, label: string): Recipe {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const text = decodeRecipe(bytes, label);
  checkText(text, label);
  const document = parseYaml(text, label);
  const result = recipeFile.safeParse(document.value);
  if (!result.success) throw recipeError(text, label, problemsOf(result.error.issues, document));
  const conflicts = conflictsOf(result.data);
  if (conflicts.length > 0) {
    throw recipeError(
      text,
      label,
      conflicts.map((conflict) => placed(conflict, document)),
    );
  }
  return fillDefaults(result.data);
}

function placed(
  { path, ...problem }: ReturnType<typeof conflictsOf>[number],
  document: RecipeDocument,
): Problem {
  return { ...problem, offset: document.locate(path).value };
}
