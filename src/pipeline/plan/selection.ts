/** Which tensors a recipe prunes, and how each. */

import type { ConfiguredPruner } from "../../../pruners/definePruner.ts";
import { pruners } from "../../../pruners/index.ts";
import { parsePattern } from "../../../pruners/pattern.ts";
import type { TensorEntry } from "../../core/archive.ts";
import { SpInferError } from "../../core/errors.ts";
import { compilePattern, type Pattern } from "../../core/selector.ts";
import { nearest } from "../../core/text.ts";
import type { TensorRole } from "../../model/index.ts";
import type { LayerSettings, Override, PruneRecipe } from "../recipe/index.ts";
import type { PruneSettings } from "./steps.ts";

export type Choice =
  | { readonly kind: "prune"; readonly settings: PruneSettings }
  | { readonly kind: "keep"; readonly reason: string };

/** By tensor name. */
export type Selection = ReadonlyMap<string, Choice>;

/** Throws E_NO_TARGET, E_PATTERN, E_PRUNER_UNKNOWN, E_OPTION. */
export function selectTensors(
  entries: readonly TensorEntry[],
  roles: readonly TensorRole[],
  recipe: PruneRecipe,
): Selection {
  const targets = recipe.targets.map((text) => counted(text));
  const ignores = recipe.ignore.map((text) => compilePattern(text));
  const overrides = recipe.overrides.map((override) => ({
    override,
    patterns: override.targets.map((text) => counted(text)),
  }));
  const cache = new Map<string, PruneSettings>();
  const selection = new Map<string, Choice>();
  for (const [i, { name }] of entries.entries()) {
    selection.set(name, choose(name, roles[i]!, { recipe, targets, ignores, overrides, cache }));
  }
  if (!recipe.allowEmpty) {
    for (const counter of [...targets, ...overrides.flatMap(({ patterns }) => patterns)]) {
      if (counter.hits === 0) throw noTarget(counter.pattern, entries, roles);
    }
  }
  return selection;
}

interface Counted {
  readonly pattern: Pattern;
  hits: number;
}

function counted(text: string): Counted {
  return { pattern: compilePattern(text), hits: 0 };
}

interface Rules {
  readonly recipe: PruneRecipe;
  readonly targets: readonly Counted[];
  readonly ignores: readonly Pattern[];
  readonly overrides: readonly {
    readonly override: Override;
    readonly patterns: readonly Counted[];
  }[];
  readonly cache: Map<string, PruneSettings>;
}

function choose(name: string, role: TensorRole, rules: Rules): Choice {
  if (role.role !== "linear")
    return { kind: "keep", reason: role.why ?? KEPT[role.role] ?? role.role };
  // all are asked, so that a target hidden behind another still counts as used
  const wanted = rules.targets.filter((target) => hit(target, name)).length > 0;
  if (!wanted) return { kind: "keep", reason: "no target matches it" };
  if (rules.ignores.some((pattern) => pattern.matches(name)))
    return { kind: "keep", reason: "ignored" };
  let settings: LayerSettings = rules.recipe;
  let skip = false;
  for (const { override, patterns } of rules.overrides) {
    if (patterns.filter((target) => hit(target, name)).length === 0) continue;
    const { targets: _, skip: skipped, options, ...changes } = override;
    settings = { ...settings, ...changes, options: { ...settings.options, ...options } };
    skip = skipped;
  }
  if (skip) return { kind: "keep", reason: "an override skips it" };
  return { kind: "prune", settings: toSettings(settings, rules.cache) };
}

function hit(target: Counted, name: string): boolean {
  if (!target.pattern.matches(name)) return false;
  target.hits++;
  return true;
}

const KEPT: Readonly<Record<string, string>> = {
  embedding: "an embedding",
  head: "the output head",
  norm: "a norm",
  bias: "a bias",
  router: "a router",
  conv: "a convolution",
  other: "not a linear layer of a block",
};

/** The settings with all options filled in, checked by the method. */
function toSettings(layer: LayerSettings, cache: Map<string, PruneSettings>): PruneSettings {
  const { method, sparsity, pattern, options } = layer;
  const key = JSON.stringify([method, sparsity, pattern, options.scope, options.seed]);
  const known = cache.get(key);
  if (known !== undefined) return known;
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  );
  const configured = configurePruner({ method, sparsity, pattern, options: given });
  const settings = { method, sparsity, pattern, options: configured.options };
  cache.set(key, settings);
  return settings;
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

function noTarget(
  pattern: Pattern,
  entries: readonly TensorEntry[],
  roles: readonly TensorRole[],
): SpInferError {
  const other = entries.findIndex(
    ({ name }, i) => roles[i]!.role !== "linear" && pattern.matches(name),
  );
  const linear = entries.filter((_, i) => roles[i]!.role === "linear").map(({ name }) => name);
  const close = nearest(
    pattern.text,
    linear.flatMap((name) => [name, name.split(".").at(-2) ?? name]),
  );
  return new SpInferError(
    "E_NO_TARGET",
    `target "${pattern.text}" matches no tensor that can be pruned`,
    {
      found:
        other < 0
          ? undefined
          : `it matches ${entries[other]!.name}, which is ${KEPT[roles[other]!.role]}`,
      expected:
        linear.length === 0
          ? "the model has no linear layers in blocks"
          : `for example ${linear[0]}`,
      hint:
        close === undefined
          ? "see the names with: spinfer inspect MODEL --tensors"
          : `did you mean "${close}"?`,
    },
  );
}
