/** What a recipe does with each tensor: the settings it is pruned with, or why it is kept. */

import type { ModelConfig } from "../../core/archive.ts";
import { SpInferError } from "../../core/errors.ts";
import { compilePattern, compileSelector, type Pattern } from "../../core/selector.ts";
import { nearest, printable } from "../../core/text.ts";
import { type Role, type TensorRole, tiedEmbeddings } from "../../model/index.ts";
import { type LayerSettings, type Override, type PruneRecipe, patternSparsity } from "./schema.ts";
import { settingsConflict } from "./together.ts";

export interface RoledTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: TensorRole;
}

export type Choice =
  | { readonly kind: "prune"; readonly settings: LayerSettings }
  | { readonly kind: "keep"; readonly reason: string };

const KEPT: Readonly<Record<Role, string>> = {
  linear: "no target matches it",
  embedding: "an embedding",
  head: "the output head",
  norm: "a norm",
  bias: "a bias",
  router: "a router",
  conv: "a convolution",
  other: "not a linear layer",
};

/**
 * One choice for each tensor, in their order. Linear layers of the blocks can be pruned, and the
 * head where a target names it (`lm_head`) and it is no copy of the embedding.
 *
 * Throws E_NO_TARGET when a target, or that of an override, matches nothing that can be pruned and
 * the recipe does not allow it; E_RECIPE_VALUE when two overrides contradict each other.
 */
export function chooseTensors(
  prune: PruneRecipe,
  tensors: readonly RoledTensor[],
  config: ModelConfig | undefined,
): Choice[] {
  const tied = tiedEmbeddings(config, tensors).tied;
  const targets = prune.targets.map(compilePattern);
  const ignored = compileSelector(prune.ignore);
  const overrides = prune.overrides.map((override) => ({
    override,
    patterns: override.targets.map(compilePattern),
  }));
  const unmatched = new Set([...targets, ...overrides.flatMap(({ patterns }) => patterns)]);

  const choices = tensors.map((tensor): Choice => {
    for (const pattern of unmatched) if (means(pattern, tensor, tied)) unmatched.delete(pattern);
    if (!targets.some((pattern) => means(pattern, tensor, tied))) return keep(tensor.role, tied);
    if (ignored(tensor.name)) return { kind: "keep", reason: "ignored" };
    const matching = overrides
      .filter(({ patterns }) => patterns.some((pattern) => means(pattern, tensor, tied)))
      .map(({ override }) => override);
    return settingsOf(prune, matching, tensor.name);
  });
  if (!prune.allowEmpty && unmatched.size > 0) throw noTarget([...unmatched], tensors, tied);
  return choices;
}

function means(pattern: Pattern, { name, role }: RoledTensor, tied: boolean): boolean {
  if (role.role === "linear") return pattern.matches(name);
  return role.role === "head" && !tied && pattern.kind === "name" && pattern.matches(name);
}

function keep({ role, why }: TensorRole, tied: boolean): Choice {
  const reason = role === "head" && tied ? "the output head, tied to the embedding" : KEPT[role];
  return { kind: "keep", reason: why === undefined ? reason : `${reason}: ${why}` };
}

function settingsOf(prune: PruneRecipe, overrides: readonly Override[], name: string): Choice {
  let { method, sparsity, pattern, options } = prune as LayerSettings;
  let skip = false;
  for (const override of overrides) {
    skip = override.skip;
    method = override.method ?? method;
    pattern = override.pattern ?? pattern;
    const conflict = settingsConflict({ sparsity: override.sparsity }, pattern);
    if (conflict !== undefined) {
      throw new SpInferError(
        "E_RECIPE_VALUE",
        `overrides of ${printable(name)}: ${conflict.message}`,
        {
          tensor: name,
        },
      );
    }
    sparsity = patternSparsity(pattern) ?? override.sparsity ?? sparsity;
    options = { ...options, ...override.options };
  }
  if (skip) return { kind: "keep", reason: "an override skips it" };
  return { kind: "prune", settings: { method, sparsity, pattern, options } };
}

function noTarget(
  unmatched: readonly Pattern[],
  tensors: readonly RoledTensor[],
  tied: boolean,
): SpInferError {
  const [{ text, kind, matches }] = unmatched as [Pattern];
  const shown = unmatched.map((pattern) => `"${printable(pattern.text, 60)}"`).join(", ");
  const message = `${unmatched.length === 1 ? "target" : "targets"} ${shown}: no tensor that can be pruned matches`;
  const met = tensors.find(
    ({ name, role }) => role.role !== "linear" && kind !== "linear" && matches(name),
  );
  return new SpInferError("E_NO_TARGET", message, {
    found:
      met === undefined
        ? undefined
        : `${met.name}, which is ${(keep(met.role, tied) as { reason: string }).reason}`,
    hint: targetHint(text, kind, tensors, tied),
  });
}

function targetHint(
  text: string,
  kind: Pattern["kind"],
  tensors: readonly RoledTensor[],
  tied: boolean,
): string {
  if (text === "lm_head" && tied) return "the output head is the input embedding; it is kept";
  const always = "see the names with `spinfer inspect MODEL --tensors`, or set allow_empty: true";
  if (kind !== "name") return always;
  const words = new Set(
    tensors.filter(({ role }) => role.role === "linear").map(({ name }) => lastWord(name)),
  );
  const close = nearest(lastWord(text), words);
  return close === undefined || close === text ? always : `did you mean "${close}"? ${always}`;
}

function lastWord(name: string): string {
  return name
    .replace(/\.weight$/, "")
    .split(".")
    .at(-1)!;
}
