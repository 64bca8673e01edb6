/** From a wanted size of the output to the sparsity that gives it. */
import type { Archive } from "../../core/archive.ts";
import { SpInferError } from "../../core/errors.ts";
import { formatBytes, formatPercent } from "../../core/text.ts";
import { parseTarget, perplexityLimit, type Recipe } from "../recipe/index.ts";
import { makePlan, type PlanOptions } from "./plan.ts";
import type { Plan } from "./steps.ts";

/** Sparsities are whole multiples of 1 / STEPS, so that a recipe can say them. */
const STEPS = 10_000;

/**
 * The recipe with the least sparsity whose output is not larger than its target, in place of the
 * target; a recipe without one as it is. Sizes are those that the plan expects. Overrides that say
 * their own sparsity keep it. Throws E_OPTION where no sparsity does and for a perplexity limit,
 * which headers tell nothing about, and what planning throws.
 */
export function aimRecipe(archive: Archive, recipe: Recipe, options: PlanOptions): Recipe {
  const target = recipe.prune?.target;
  if (recipe.prune === undefined || target === undefined) return recipe;
  if (perplexityLimit(target) !== undefined) {
    throw new SpInferError(
      "E_OPTION",
      `${target}: only measuring tells the sparsity that meets it`,
      {
        hint: "spinfer prune finds it; here, give a --sparsity",
      },
    );
  }
  const at = (step: number): Recipe => withSparsity(recipe, step / STEPS);
  const sizeAt = (step: number): number => outputBytes(makePlan(archive, at(step), options));
  const wanted = wantedBytes(archive, recipe, target, options);
  const least = sizeAt(STEPS - 1);
  if (least > wanted) {
    throw new SpInferError("E_OPTION", `no sparsity makes the output as small as ${target}`, {
      path: archive.label,
      found: `${formatBytes(least)} with ${formatPercent((STEPS - 1) / STEPS)} zeros`,
      expected: `a target of at least that; ${target} is ${formatBytes(wanted)}`,
    });
  }
  let [low, high] = [0, STEPS - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sizeAt(middle) <= wanted) high = middle;
    else low = middle + 1;
  }
  return at(high);
}

/** The recipe with a sparsity in place of its target. */
export function withSparsity(recipe: Recipe, sparsity: number): Recipe {
  const { evaluation: _, prune, ...rest } = recipe;
  if (prune === undefined) return recipe;
  const { target: __, ...settings } = prune;
  return { ...rest, prune: { ...settings, sparsity } };
}

/** A share is one of the same tensors stored dense. */
function wantedBytes(
  archive: Archive,
  recipe: Recipe,
  target: string | number,
  options: PlanOptions,
): number {
  const parsed = parseTarget(target);
  if (parsed === undefined || "limit" in parsed)
    throw new SpInferError("E_OPTION", `target ${target} is no size`);
  if ("bytes" in parsed) return parsed.bytes;
  const { prune: _, convert, ...rest } = recipe;
  const dense = makePlan(archive, { ...rest, convert: { ...convert, to: "dense" } }, options);
  return parsed.share * outputBytes(dense);
}

/** Of all files with weights, as expected. */
function outputBytes({ totals, shards }: Plan): number {
  return shards.reduce((sum, { headerBytes }) => sum + headerBytes + 8, totals.bytesOut);
}
