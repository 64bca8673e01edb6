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
import { type CalibrationMode, patternSparsity, type Recipe, type RecipeFile } from "./schema.ts";
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

/** Throws E_RECIPE_VALUE where there is nothing to import, and what reading YAML throws. */
export function importRecipe(content: Uint8Array, label: string): ImportedRecipe {
  const text = decodeRecipe(content, label);
  checkText(text, label);
  const { value } = parseYaml(text, label);
  const unmapped: string[] = [];
  const found: Settings[] = [];
  const modes: CalibrationMode[] = [];
  for (const [name, options] of modifiersOf(value, unmapped)) {
    const method = METHODS[name];
    if (method === undefined) unmapped.push(`${printable(name)}: no counterpart`);
    else {
      const { mode, ...settings } = settingsOf(name, method, options, unmapped);
      found.push(settings);
      if (mode !== undefined) modes.push(mode);
    }
  }
  const [first, ...rest] = found;
  if (first === undefined) {
    throw new SpInferError("E_RECIPE_VALUE", `${label}: there is no stage that prunes`, {
      path: label,
      expected: `a recipe with ${Object.keys(METHODS).join(", ")}`,
    });
  }
  const overrides = rest.flatMap((settings) => {
    const { targets, ignore, ...own } = settings;
    if (targets !== undefined && !targets.includes("Linear")) {
      if (ignore !== undefined)
        unmapped.push(
          `ignore of the second modifier (${printable(ignore.join(", "))}): no counterpart`,
        );
      // an override that says no pattern has the recipe's
      const none = first.pattern !== undefined && own.sparsity !== undefined;
      return [{ targets, ...(none ? { pattern: "unstructured" } : {}), ...own }];
    }
    unmapped.push(`a second ${settings.method} of all layers: a recipe prunes each layer once`);
    return [];
  });
  const prune = { ...first, ...(overrides.length === 0 ? {} : { overrides }) };
  const [mode] = modes;
  if (modes.some((other) => other !== mode))
    unmapped.push(`sequential_update of later modifiers: a recipe has one, here ${mode}`);
  const calibration = mode === undefined ? {} : { calibration: { mode } };
  const recipe = readImported({ version: 1, prune, ...calibration }, label, unmapped);
  return { recipe: readRecipe(recipeToYaml(recipe), label), unmapped };
}

/** Read as a file, so that an imported recipe is held to all that a written one is. */
function readImported(file: object, label: string, unmapped: readonly string[]): Recipe {
  try {
    return readRecipe(JSON.stringify(file, undefined, 2), `${label}, as imported`);
  } catch (error) {
    if (!(error instanceof SpInferError) || unmapped.length === 0) throw error;
    const hint = error.detail.hint ?? `what was left out: ${unmapped.join("; ")}`;
    throw new SpInferError(error.code, error.message, { ...error.detail, path: label, hint });
  }
}

/** Stages end in _stage and hold groups that end in _modifiers; groups may stand alone. */
function modifiersOf(value: unknown, unmapped: string[]): [string, Raw][] {
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, inner]): [string, Raw][] => {
    if (/_(?:stage|modifiers)$/.test(key)) return modifiersOf(inner, unmapped);
    if (isRecord(inner)) return [[key, inner]];
    if (Object.hasOwn(METHODS, key) && inner === null) return [[key, {}]];
    unmapped.push(`${printable(key)}${shown(inner)}: no counterpart`);
    return [];
  });
}

/** Null of a key that has a counterpart is its default there, and so it is here. */
function settingsOf(
  name: string,
  method: string,
  options: Raw,
  unmapped: string[],
): Settings & { mode?: CalibrationMode } {
  const settings: Record<string, unknown> = { method };
  for (const [key, value] of Object.entries(options)) {
    if (value === null && HAVE_COUNTERPARTS.has(key)) continue;
    const mapped = mapOption(key, value, method);
    if (mapped === undefined)
      unmapped.push(`${name}.${printable(key)}${shown(value)}: no counterpart`);
    else Object.assign(settings, mapped);
  }
  const { pattern, sparsity } = settings;
  if (pattern !== undefined) {
    if (sparsity !== undefined && sparsity !== patternSparsity(String(pattern)))
      unmapped.push(`${name} sparsity ${sparsity}: its mask_structure says another, and counts`);
    delete settings["sparsity"];
  }
  return settings as Settings;
}

/** A value that says nothing or no, beside its key: what is listed is then no loss. */
function shown(value: unknown): string {
  return value === null || value === false ? ` (${value})` : "";
}

const HAVE_COUNTERPARTS: ReadonlySet<string> = new Set([
  ...["sparsity", "final_sparsity", "mask_structure", "block_size", "dampening_frac", "percdamp"],
  ...["sparsity_profile", "owl_m", "owl_lmbda", "targets", "ignore", "sequential_update"],
  "quantize",
]);

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
    case "sequential_update":
      if (typeof value !== "boolean") return undefined;
      return { mode: value ? "sequential" : "one-pass" };
    case "quantize":
      return value === false ? {} : undefined; // nothing is quantized here
    default:
      return undefined;
  }
}

/** There N of M are dropped, here N are kept; 0:0 is no pattern. */
function patternOf(value: unknown): object | undefined {
  if (value === "unstructured") return {};
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
