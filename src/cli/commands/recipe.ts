/** recipe init, validate, show. */
import { readSmallFile, writeSmallFile } from "../../io/smallFile.ts";
import {
  defaultRecipeYaml,
  importRecipe,
  LARGEST_RECIPE_BYTES,
  type Recipe,
  recipeToYaml,
  resolveRecipe,
} from "../../pipeline/recipe/index.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { faint, good, lines } from "../output/document.ts";
import { quoted } from "../views/words.ts";
import { readRecipeFile, recipeFlags } from "./task.ts";

const DEFAULT_PRESET = "magnitude-50";

export async function recipeInit({ arguments: given }: Invocation): Promise<Outcome> {
  const preset = given.text("preset") ?? DEFAULT_PRESET;
  const output = given.text("output");
  const yaml = defaultRecipeYaml(preset);
  if (output === undefined) {
    return {
      result: { preset, path: null, yaml },
      document: () => [{ kind: "text", text: yaml }],
      quiet: yaml.trimEnd(),
    };
  }
  await writeSmallFile(output, yaml, given.flag("force"));
  return {
    result: { preset, path: output, yaml },
    document: () => [
      lines(
        [good("✓"), ` wrote ${output} (${preset})`],
        ["  next: ", `spinfer run ${quoted(output)} MODEL -o DIR --dry-run`],
      ),
    ],
    quiet: output,
  };
}

export async function recipeImport(invocation: Invocation): Promise<Outcome> {
  const { arguments: given } = invocation;
  const source = given.required("recipe");
  const output = given.text("output");
  const content = await readSmallFile(source, LARGEST_RECIPE_BYTES + 1);
  const { recipe, unmapped } = importRecipe(content, source);
  const yaml = recipeToYaml(recipe);
  for (const message of unmapped) invocation.warn({ code: "W_UNMAPPED", message });
  if (output !== undefined) await writeSmallFile(output, yaml, given.flag("force"));
  return {
    result: { source, path: output ?? null, yaml, unmapped },
    document: () =>
      output === undefined
        ? [{ kind: "text", text: yaml }]
        : [lines([good("✓"), ` wrote ${output} (${summaryOf(recipe)})`])],
    quiet: output ?? yaml.trimEnd(),
  };
}

export async function recipeValidate({ arguments: given }: Invocation): Promise<Outcome> {
  const path = given.required("recipe");
  const recipe = await readRecipeFile(path);
  return {
    result: { path, valid: true, summary: summaryOf(recipe) },
    document: () => [
      lines([good("✓"), ` ${path} is a valid recipe`, faint(`: ${summaryOf(recipe)}`)]),
    ],
  };
}

export async function recipeShow(invocation: Invocation): Promise<Outcome> {
  const { arguments: given } = invocation;
  const path = given.required("recipe");
  const base = await readRecipeFile(path);
  const { recipe, overridden } = resolveRecipe(
    base,
    { ...recipeFlags(given), output: given.text("output") },
    path,
  );
  for (const message of overridden) invocation.warn({ code: "W_OVERRIDDEN", message });
  const yaml = recipeToYaml(recipe);
  return {
    result: { path, yaml },
    document: () => [{ kind: "text", text: yaml }],
    quiet: yaml.trimEnd(),
  };
}

function summaryOf({ prune, convert }: Recipe): string {
  const overrides = prune?.overrides.length ?? 0;
  const how =
    prune === undefined
      ? "no pruning"
      : `${prune.method}, ${prune.pattern === "unstructured" ? `sparsity ${prune.sparsity}` : prune.pattern}` +
        (overrides === 0 ? "" : `, ${overrides} ${overrides === 1 ? "override" : "overrides"}`);
  return `${how}, to ${convert.to}`;
}
