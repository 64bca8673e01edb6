/** A recipe with the flags of the command line put on it. A flag wins, and the plan says so. */
import { SpInferError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { fillDefaults } from "./defaults.ts";
import {
  patternSparsity,
  perplexityLimit,
  type Recipe,
  type RecipeFile,
  recipeFile,
} from "./schema.ts";
import { wrongItem, wrongValue } from "./sentences.ts";
import { conflictsOf } from "./together.ts";
import { recipeToFile } from "./write.ts";

/** Values as they come from the command line; numbers may still be text. */
export interface RecipeFlags {
  readonly model?: string | undefined;
  readonly output?: string | undefined;
  readonly method?: string | undefined;
  readonly sparsity?: number | string | undefined;
  readonly target?: string | undefined;
  readonly pattern?: string | undefined;
  readonly scope?: string | undefined;
  readonly seed?: number | string | undefined;
  readonly targets?: readonly string[] | undefined;
  readonly ignore?: readonly string[] | undefined;
  readonly allocation?: string | undefined;
  readonly calib?: string | undefined;
  readonly field?: string | undefined;
  readonly nsamples?: number | string | undefined;
  readonly seqlen?: number | string | undefined;
  readonly windows?: string | undefined;
  readonly mode?: string | undefined;
  readonly dataset?: string | undefined;
  readonly datasetField?: string | undefined;
  readonly protocol?: string | undefined;
  readonly ctx?: number | string | undefined;
  readonly stride?: number | string | undefined;
  readonly maxWindows?: number | string | undefined;
  readonly bos?: string | undefined;
  readonly allowEmpty?: boolean | undefined;
  readonly to?: string | undefined;
  readonly dtype?: string | undefined;
  readonly maxShardSize?: number | string | undefined;
  readonly strictFinite?: boolean | undefined;
}

export interface ResolvedRecipe {
  readonly recipe: Recipe;
  /** What flags changed, as sentences: "--sparsity 0.6 replaces sparsity 0.5 of recipe.yaml". */
  readonly overridden: readonly string[];
}

/** The key of the recipe file that each flag sets. */
const PLACES: Readonly<Record<keyof RecipeFlags, readonly [flag: string, ...path: string[]]>> = {
  model: ["--model", "model"],
  output: ["--output", "output"],
  method: ["--method", "prune", "method"],
  sparsity: ["--sparsity", "prune", "sparsity"],
  target: ["--target", "prune", "target"],
  pattern: ["--pattern", "prune", "pattern"],
  scope: ["--scope", "prune", "scope"],
  seed: ["--seed", "prune", "seed"],
  targets: ["--targets", "prune", "targets"],
  ignore: ["--ignore", "prune", "ignore"],
  allowEmpty: ["--allow-empty", "prune", "allow_empty"],
  allocation: ["--allocation", "prune", "allocation"],
  calib: ["--calib", "calibration", "data"],
  field: ["--field", "calibration", "field"],
  nsamples: ["--nsamples", "calibration", "nsamples"],
  seqlen: ["--seqlen", "calibration", "seqlen"],
  windows: ["--windows", "calibration", "windows"],
  mode: ["--mode", "calibration", "mode"],
  dataset: ["--dataset", "evaluation", "data"],
  datasetField: ["--field", "evaluation", "field"],
  protocol: ["--protocol", "evaluation", "protocol"],
  ctx: ["--ctx", "evaluation", "ctx"],
  stride: ["--stride", "evaluation", "stride"],
  maxWindows: ["--max-windows", "evaluation", "max_windows"],
  bos: ["--bos", "evaluation", "bos"],
  to: ["--to", "convert", "to"],
  dtype: ["--dtype", "convert", "dtype"],
  maxShardSize: ["--max-shard-size", "convert", "max_shard_size"],
  strictFinite: ["--strict-finite", "convert", "strict_finite"],
};

const NUMBERS = new Set<string>([
  ...["sparsity", "seed", "nsamples", "seqlen", "ctx", "stride", "maxWindows"],
]);

type Raw = Record<string, unknown>;

/** `label` names the recipe in the sentences. Throws E_OPTION, E_PATTERN. */
export function resolveRecipe(
  recipe: Recipe,
  flags: RecipeFlags,
  label = "the recipe",
): ResolvedRecipe {
  const before = recipeToFile(recipe) as Raw;
  const after = structuredClone(before);
  const overridden: string[] = [];
  overridden.push(...dropOtherAmount(after, flags, label));
  if (flags.pattern !== undefined) {
    overridden.push(...dropImplied(after, flags, recipe, label));
  }
  for (const [name, [flag, ...place]] of Object.entries(PLACES)) {
    const given = flags[name as keyof RecipeFlags];
    if (given === undefined) continue;
    const path = name === "seed" ? seedPlace(recipe, flags) : place;
    const value = NUMBERS.has(name) ? asNumber(given) : given;
    const old = put(after, path, value);
    if (old === undefined || JSON.stringify(old) === JSON.stringify(value)) continue;
    const shown = typeof value === "boolean" ? flag : `${flag} ${show(value)}`;
    overridden.push(`${shown} replaces ${path.at(-1)} ${show(old)} of ${label}`);
  }
  if (flags.sparsity !== undefined && recipe.prune?.overrides.some(setsAmount)) {
    overridden.push(`--sparsity leaves the overrides of ${label} as they are`);
  }
  return { recipe: fillDefaults(checked(after, flags)), overridden };
}

/** The seed of the method if it draws lots, else of the windows that it is calibrated on. */
function seedPlace({ prune, calibration }: Recipe, { method, calib }: RecipeFlags): string[] {
  const drawsLots = (method ?? prune?.method) === "random";
  const calibrates = (calib ?? calibration?.data) !== undefined;
  return [calibrates && !drawsLots ? "calibration" : "prune", "seed"];
}

function setsAmount({ sparsity }: { readonly sparsity?: number }): boolean {
  return sparsity !== undefined;
}

/**
 * A target takes the place of a sparsity, and a sparsity or a pattern that of a target. Without a
 * perplexity limit nothing is evaluated.
 */
function dropOtherAmount(after: Raw, flags: RecipeFlags, label: string): string[] {
  const prune = after["prune"] as Raw | undefined;
  const { target, sparsity, pattern } = flags;
  if (prune === undefined) return [];
  const replaced = (target ?? sparsity ?? patternSparsity(pattern ?? "")) !== undefined;
  if (replaced && perplexityLimit(target) === undefined) delete after["evaluation"];
  if (target !== undefined && sparsity === undefined) {
    const old = prune["sparsity"];
    delete prune["sparsity"];
    return old === undefined
      ? []
      : [`--target ${show(target)} replaces sparsity ${show(old)} of ${label}`];
  }
  const old = prune["target"];
  if (target !== undefined || old === undefined) return [];
  if (sparsity === undefined && patternSparsity(pattern ?? "") === undefined) return [];
  delete prune["target"];
  const flag =
    sparsity === undefined ? `--pattern ${show(pattern)}` : `--sparsity ${show(sparsity)}`;
  return [`${flag} replaces target ${show(old)} of ${label}`];
}

/** An N:M pattern on the command line takes the place of a sparsity in the recipe. */
function dropImplied(after: Raw, flags: RecipeFlags, recipe: Recipe, label: string): string[] {
  const prune = after["prune"] as Raw | undefined;
  const old = prune?.["sparsity"];
  if (prune === undefined || old === undefined || flags.sparsity !== undefined) return [];
  const implied = patternSparsity(flags.pattern ?? "");
  if (implied === undefined) return [];
  delete prune["sparsity"];
  const sentence = `--pattern ${flags.pattern} makes the sparsity ${implied}, not ${show(old)} as in ${label}`;
  return implied === recipe.prune?.sparsity ? [] : [sentence];
}

/** Sets the value at a path of at most two steps and returns what was there. */
function put(file: Raw, path: readonly string[], value: unknown): unknown {
  const [section = "", key] = path;
  if (key === undefined) {
    const old = file[section];
    file[section] = value;
    return old;
  }
  file[section] ??= {};
  const part = file[section] as Raw;
  const old = part[key];
  part[key] = value;
  return old;
}

function checked(file: Raw, flags: RecipeFlags): RecipeFile {
  const result = recipeFile.safeParse(file);
  if (!result.success) {
    const { path } = result.error.issues[0]!;
    const list = typeof path.at(-1) === "number";
    const key = String(path.at(list ? -2 : -1));
    const flag = flagOf(path.map(String));
    const part = file[String(path[0])];
    const value = path.length === 1 ? part : (part as Raw)[String(path[1])];
    const sentence = list
      ? wrongItem(key, (value as unknown[])[path.at(-1) as number])
      : wrongValue(key, value);
    throw new SpInferError("E_OPTION", `${flag}: ${sentence}`);
  }
  const [conflict] = conflictsOf(result.data);
  if (conflict === undefined) return result.data;
  const { code, message, path, hint } = conflict;
  const inOverride = path[1] === "overrides";
  const flag = inOverride && flags.pattern !== undefined ? "--pattern" : flagOf(path.map(String));
  const where = inOverride ? `override ${Number(path[2]) + 1}: ` : "";
  throw new SpInferError(code === "E_PATTERN" ? code : "E_OPTION", `${flag}: ${where}${message}`, {
    hint,
  });
}

function flagOf(path: readonly string[]): string {
  const found = Object.values(PLACES).find(([, ...place]) =>
    place.every((step, index) => step === path[index]),
  );
  return found === undefined ? "--sparsity" : found[0];
}

function asNumber(value: unknown): unknown {
  if (typeof value !== "string" || !/^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?\s*$/i.test(value)) {
    return value;
  }
  return Number(value);
}

function show(value: unknown): string {
  return printable(Array.isArray(value) ? value.join(", ") : String(value), 120);
}
