/**
 * Recipes of llm-compressor as recipes of ours: stages with SparseGPTModifier, WandaPruningModifier
 * and MagnitudePruningModifier. What has no counterpart is listed, never dropped unseen.
 */
import { SpInferError } from "../../core/errors.ts";
import { isRecord } from "../../core/guards.ts";
import { printable } from "../../core/text.ts";
import { parseYaml } from "./document.ts";
import { checkText, decodeRecipe } from "./prescan.ts";
import { readRecipe } from "./read.ts";
import { type Recipe, type RecipeFile, recipeFile } from "./schema.ts";
import { recipeToYaml } from "./write.ts";

type PruneFile = NonNullable<RecipeFile["prune"]>;
type Settings = Omit<PruneFile, "overrides" | "allow_empty">;
type Raw = Readonly<Record<string, unknown>>;

export interface ImportedRecipe {
  readonly recipe: Recipe;
  /** What could not be mapped, as sentences. */
  readonly unmapped: readonly string[];
}

const METHODS: Readonly<Record<string, string>> = {
  SparseGPTModifier: "sparsegpt",
  WandaPruningModifier: "wanda",
  MagnitudePruningModifier: "magnitude",
};

/** Keys that change nothing of what is made, or are null in files that the tool wrote itself. */
const WITHOUT_MEANING: ReadonlySet<string> = new Set([
  ...["sequential_update", "sequential_targets", "offload_hessians", "start", "end", "quantize"],
  ...["init_sparsity", "leave_enabled", "group", "index"],
]);

/** Throws E_RECIPE_VALUE where there is nothing to import, and what reading YAML throws. */
export function importRecipe(content: Uint8Array, label: string): ImportedRecipe {
  const text = decodeRecipe(content, label);
  checkText(text, label);
  const { value } = parseYaml(text, label);
  const unmapped: string[] = [];
  const found: Settings[] = [];
  for (const [name, options] of modifiersOf(value)) {
    const method = METHODS[name];
    if (method === undefined) unmapped.push(`${printable(name)}: no counterpart`);
    else found.push(settingsOf(name, method, options, unmapped));
  }
  const [first, ...rest] = found;
  if (first === undefined) {
    throw new SpInferError("E_RECIPE_VALUE", `${label}: there is no stage that prunes`, {
      path: label,
      expected: `a recipe with ${Object.keys(METHODS).join(", ")}`,
    });
  }
  const overrides = rest.flatMap((settings) => {
    const { targets, ignore: _, ...own } = settings;
    if (targets !== undefined && !targets.includes("Linear")) return [{ targets, ...own }];
    unmapped.push(`a second ${settings.method} of all layers: a recipe prunes each layer once`);
    return [];
  });
  const prune = { ...first, ...(overrides.length === 0 ? {} : { overrides }) };
  const file = recipeFile.safeParse({ version: 1, prune });
  if (!file.success) {
    const { path, message } = file.error.issues[0]!;
    throw new SpInferError("E_RECIPE_VALUE", `${label}: ${path.join(".")}: ${message}`, {
      path: label,
    });
  }
  // read again as a file, so that an imported recipe is held to all that a written one is
  const yaml = JSON.stringify(file.data);
  const recipe = readRecipe(yaml, label);
  return { recipe: readRecipe(recipeToYaml(recipe), label), unmapped };
}

/** Stages end in _stage and hold groups that end in _modifiers; groups may stand alone. */
function modifiersOf(value: unknown): [string, Raw][] {
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, inner]): [string, Raw][] => {
    if (!isRecord(inner)) return [];
    if (/_(?:stage|modifiers)$/.test(key)) return modifiersOf(inner);
    return [[key, inner]];
  });
}

function settingsOf(name: string, method: string, options: Raw, unmapped: string[]): Settings {
  const settings: Record<string, unknown> = { method };
  for (const [key, value] of Object.entries(options)) {
    if (value === null || value === false || WITHOUT_MEANING.has(key) || key.endsWith("_"))
      continue;
    const mapped = mapOption(key, value, method);
    if (mapped === undefined) unmapped.push(`${name}.${printable(key)}: no counterpart`);
    else Object.assign(settings, mapped);
  }
  if (settings["pattern"] !== undefined) delete settings["sparsity"];
  return settings as Settings;
}

function mapOption(key: string, value: unknown, method: string): object | undefined {
  switch (key) {
    case "sparsity":
    case "final_sparsity":
      return typeof value === "number" ? { sparsity: value } : undefined;
    case "mask_structure":
      return patternOf(value);
    case "block_size":
      return method === "sparsegpt" ? { block_size: value } : undefined;
    case "dampening_frac":
    case "percdamp":
      return method === "sparsegpt" ? { damping: value } : undefined;
    case "sparsity_profile":
      return String(value).toLowerCase() === "owl" ? { allocation: "owl" } : undefined;
    case "owl_m":
      return { outlier_ratio: value };
    case "owl_lmbda":
      return { outlier_range: value };
    case "targets":
      return { targets: listOf(value).map(targetOf) };
    case "ignore":
      return { ignore: listOf(value) };
    default:
      return undefined;
  }
}

/** There N of M are dropped, here N are kept; 0:0 is no pattern. */
function patternOf(value: unknown): object | undefined {
  const match = /^(\d+):(\d+)$/.exec(String(value));
  if (match === null) return undefined;
  const [dropped, of] = [Number(match[1]), Number(match[2])];
  return of === 0 ? {} : { pattern: `${of - dropped}:${of}` };
}

function listOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** There a target may be a whole block: all its linear layers. */
function targetOf(target: string): string {
  if (target === "ALL" || target.startsWith("__ALL")) return "Linear";
  return target.startsWith("re:") ? target.replace(/\\d[*+]\$$/, "\\d+\\.") : target;
}
