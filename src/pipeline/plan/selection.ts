/** The recipe's choices with their pruners: settings complete, methods and options checked. */
import type { ConfiguredPruner } from "../../../pruners/definePruner.ts";
import { pruners } from "../../../pruners/index.ts";
import { parsePattern } from "../../../pruners/pattern.ts";
import type { Archive } from "../../core/archive.ts";
import type { TensorRole } from "../../model/index.ts";
import { chooseTensors, type LayerSettings, type PruneRecipe } from "../recipe/index.ts";
import type { PruneSettings } from "./steps.ts";

export type Choice =
  | { readonly kind: "prune"; readonly settings: PruneSettings }
  | { readonly kind: "keep"; readonly reason: string };

/**
 * One choice for each entry, in their order.
 * Throws E_NO_TARGET, E_PATTERN, E_RECIPE_VALUE, E_PRUNER_UNKNOWN, E_OPTION.
 */
export function selectTensors(
  { entries, config }: Pick<Archive, "entries" | "config">,
  roles: readonly TensorRole[],
  recipe: PruneRecipe,
): Choice[] {
  const tensors = entries.map(({ name, shape }, i) => ({ name, shape, role: roles[i]! }));
  const complete = new Map<string, PruneSettings>();
  return chooseTensors(recipe, tensors, config).map((choice): Choice => {
    if (choice.kind === "keep") return choice;
    const key = JSON.stringify(choice.settings);
    const settings = complete.get(key) ?? completed(choice.settings);
    complete.set(key, settings);
    return { kind: "prune", settings };
  });
}

/** The settings with all options filled in, checked by the method. */
function completed({ method, sparsity, pattern, options }: LayerSettings): PruneSettings {
  const given = { method, sparsity, pattern, options: { ...options } };
  return { ...given, options: configurePruner(given).options };
}

/** A pruner ready to work. */
export function configurePruner({
  method,
  sparsity,
  pattern,
  options,
}: PruneSettings): ConfiguredPruner {
  return pruners.get(method).configure({ sparsity, pattern: parsePattern(pattern) }, options);
}
