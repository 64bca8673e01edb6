/**
 * The recipe: what a user asks for. `recipeFile` is its YAML form, checked key by key; `Recipe` is
 * what the pipeline sees, with every default filled in. The published JSON Schema is made from
 * `recipeFile` (scripts/makeSchemas.ts).
 */

import type { WeightDtype } from "../../core/dtype.ts";
import { SpInferError } from "../../core/errors.ts";
import { parseBytes } from "../../core/text.ts";
import { type Infer, z } from "../../core/zod.ts";
import { type Gate, parseGate } from "../../eval/gates.ts";
import { BOS_MODES, type BosMode, PROTOCOLS, type Protocol } from "../../eval/windows.ts";

export const RECIPE_VERSION = 1;
export const SCOPES = ["matrix", "row", "model"] as const;
export const TARGET_FORMATS = ["tile-bitmap", "dense"] as const;
export const DTYPE_NAMES = ["f16", "bf16", "f32"] as const;
export const LARGEST_GROUP = 32;

export const ALLOCATIONS = ["uniform", "owl"] as const;
export const WINDOW_RULES = ["first", "random"] as const;
export const CALIBRATION_MODES = ["sequential", "one-pass"] as const;

export type Scope = (typeof SCOPES)[number];
export type Allocation = (typeof ALLOCATIONS)[number];
export type CalibrationMode = (typeof CALIBRATION_MODES)[number];
export type TargetFormat = (typeof TARGET_FORMATS)[number];
export type DtypeName = (typeof DTYPE_NAMES)[number];

/** How one matrix is pruned. */
export interface LayerSettings {
  /** Name of a pruner; whether there is one of that name is checked when planning. */
  readonly method: string;
  /** Fraction of zeros, 0 ≤ s < 1. With an N:M pattern exactly 1 − N/M. */
  readonly sparsity: number;
  /** "unstructured" or "N:M": N kept of every M consecutive inputs. */
  readonly pattern: string;
  /** The method's own options, as far as they were given; the pruner checks them. */
  readonly options: MethodOptions;
}

/** As pruners name them; each pruner takes its own and refuses the others. */
export interface MethodOptions {
  /** What one threshold spans. */
  readonly scope?: Scope;
  readonly seed?: number;
  readonly allocation?: Allocation;
  readonly outlier_ratio?: number;
  readonly outlier_range?: number;
  readonly score?: "wanda" | "magnitude";
  readonly exponent?: number;
  readonly block_size?: number;
  readonly damping?: number;
  readonly cycles?: number;
  readonly update_threshold?: number;
  readonly variance_power?: number;
}

/** Other settings for some of the matrices. What is absent stays as it was. */
export interface Override {
  readonly targets: readonly string[];
  readonly skip: boolean;
  readonly method?: string;
  readonly sparsity?: number;
  readonly pattern?: string;
  readonly options: MethodOptions;
}

export interface PruneRecipe extends LayerSettings {
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
  /** Do not mind targets that match nothing. */
  readonly allowEmpty: boolean;
  /**
   * Instead of a sparsity, as it is written: the output's wanted size ("2GB", "60%"), from which
   * planning finds the sparsity, or a perplexity limit ("ppl<=+5%"), from which measuring does.
   */
  readonly target?: string | number;
  /** In order; a later one wins where two set the same thing. */
  readonly overrides: readonly Override[];
}

export interface ConvertRecipe {
  readonly to: TargetFormat;
  /** dtype of the output's weights; absent: the source's own. */
  readonly dtype?: WeightDtype;
  readonly maxShardBytes: number;
  /** Refuse NaN and infinity instead of keeping and reporting them. */
  readonly strictFinite: boolean;
}

/** The text that activations are gathered on, and how. */
export interface CalibrationRecipe {
  /** A text file, JSON lines or a folder. Absent: named on the command line. */
  readonly data?: string;
  /** The field of each JSON line. */
  readonly field?: string;
  readonly nsamples: number;
  /** Tokens of a window; absent: 2048, or what the model has positions for. */
  readonly seqlen?: number;
  readonly windows: (typeof WINDOW_RULES)[number];
  readonly seed: number;
  readonly mode: CalibrationMode;
}

/** The text that a perplexity limit is about, and how it is read; as `spinfer eval` takes them. */
export interface EvaluationRecipe {
  /** A text file, JSON lines or a folder. Absent: the embedded model's own text. */
  readonly data?: string;
  /** The field of each JSON line. */
  readonly field?: string;
  readonly protocol: Protocol;
  readonly ctx?: number;
  readonly stride?: number;
  readonly maxWindows?: number;
  readonly bos?: BosMode;
}

export interface Recipe {
  readonly version: typeof RECIPE_VERSION;
  readonly name?: string;
  readonly description?: string;
  /** Path or org/name. Absent: named on the command line. */
  readonly model?: string;
  readonly output?: string;
  /** Absent: the weights stay as they are and are only converted. */
  readonly prune?: PruneRecipe;
  /** Absent: no activations are gathered. */
  readonly calibration?: CalibrationRecipe;
  /** Only with a perplexity limit as target. */
  readonly evaluation?: EvaluationRecipe;
  readonly convert: ConvertRecipe;
}

const PATTERN_SYNTAX = /^(?:unstructured|[1-9][0-9]?:[1-9][0-9]?)$/;

/** "2:4" → { keep: 2, of: 4 }; undefined for "unstructured" and for what is no N:M pattern. */
export function parseGroups(
  pattern: string,
): { readonly keep: number; readonly of: number } | undefined {
  if (!PATTERN_SYNTAX.test(pattern) || pattern === "unstructured") return undefined;
  const [keep = 0, of = 0] = pattern.split(":").map(Number);
  return keep < of && of <= LARGEST_GROUP ? { keep, of } : undefined;
}

/** Sparsity of an N:M pattern, or undefined. */
export function patternSparsity(pattern: string): number | undefined {
  const groups = parseGroups(pattern);
  return groups === undefined ? undefined : (groups.of - groups.keep) / groups.of;
}

/** Bytes, a share of what the same tensors take when all are dense, or a limit of the perplexity. */
export type Target =
  | { readonly bytes: number }
  | { readonly share: number }
  | { readonly limit: PerplexityLimit };

/** A gate: perplexity at most `bound`, or at most so much (a fraction) above the dense model's. */
export type PerplexityLimit = Gate & { readonly metric: "ppl" | "delta" };

/**
 * "2GB" → bytes, "60%" → a share, "ppl<=+5%" and "ppl<=12.5" → a limit; undefined for what is none
 * of these, and for nothing at all.
 */
export function parseTarget(target: string | number): Target | undefined {
  const limit = perplexityLimit(target);
  if (limit !== undefined) return { limit };
  const percent = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(String(target));
  const share = Number(percent?.[1]) / 100;
  if (percent !== null) return share > 0 && share <= 1 ? { share } : undefined;
  const bytes = typeof target === "number" ? target : parseBytes(target);
  return bytes === undefined || bytes < 1 ? undefined : { bytes };
}

/** The limit that a target sets to the perplexity; undefined for a size, and for what is no target. */
export function perplexityLimit(target: string | number | undefined): PerplexityLimit | undefined {
  if (typeof target !== "string" || !/^\s*ppl/.test(target)) return undefined;
  try {
    return parseGate(target) as PerplexityLimit;
  } catch (thrown) {
    if (thrown instanceof SpInferError) return undefined;
    throw thrown;
  }
}

const text = z.string().min(1).max(4096);
const method = z
  .string()
  .regex(/^[a-z][a-z0-9-]*$/)
  .max(64)
  .describe("Name of a pruner: magnitude, random, …");
const sparsity = z
  .number()
  .min(0)
  .lt(1)
  .describe("Fraction of the weights that become zero, 0 ≤ s < 1");
const pattern = z
  .string()
  .regex(PATTERN_SYNTAX)
  .refine((value) => value === "unstructured" || parseGroups(value) !== undefined)
  .describe('"unstructured", or "N:M": N kept of every M consecutive inputs, 1 ≤ N < M ≤ 32');
const scope = z
  .enum(SCOPES)
  .describe("What one threshold spans: a matrix, one of its rows, or all matrices");
const seed = z.int().min(0).max(0xffff_ffff).describe("Seed of random choices");

/** The options of methods. Ranges are those of the pruners, which check them again. */
const methodOptions = {
  scope: scope.optional(),
  seed: seed.optional(),
  allocation: z.enum(ALLOCATIONS).optional().describe("How sparsity is shared out over blocks"),
  outlier_ratio: z.number().gt(0).max(1000).optional().describe("OWL's M"),
  outlier_range: z.number().min(0).max(1).optional().describe("OWL's lambda"),
  score: z.enum(["wanda", "magnitude"]).optional().describe("tile-balanced: what is compared"),
  exponent: z.number().min(0).max(4).optional().describe("ria: the power of the input's norm"),
  block_size: z.int().min(1).max(4096).optional().describe("sparsegpt: columns taken at once"),
  damping: z.number().gt(0).max(1).optional().describe("sparsegpt: share of the mean diagonal"),
  cycles: z.int().min(0).max(10_000).optional().describe("dsnot: most swaps of an output"),
  update_threshold: z.number().min(0).optional().describe("dsnot: error that is let be"),
  variance_power: z.number().min(0).max(4).optional().describe("dsnot: power of the variance"),
};
export const METHOD_OPTIONS = Object.keys(methodOptions) as (keyof MethodOptions)[];

const patterns = z
  .array(z.string().min(1).max(1000))
  .max(5_000)
  .describe('Names, globs (* and ?), "re:" regular expressions, or "Linear"');

const override = z.strictObject({
  targets: patterns.min(1),
  skip: z.boolean().optional().describe("Leave these matrices dense"),
  method: method.optional(),
  sparsity: sparsity.optional(),
  pattern: pattern.optional(),
  ...methodOptions,
});

const prune = z.strictObject({
  method: method.optional(),
  sparsity: sparsity.optional(),
  pattern: pattern.optional(),
  ...methodOptions,
  targets: patterns.min(1).optional(),
  ignore: patterns.optional(),
  allow_empty: z.boolean().optional().describe("Do not mind targets that match nothing"),
  target: z
    .union([z.int().min(1), z.string().max(40)])
    .refine((value) => parseTarget(value) !== undefined)
    .optional()
    .describe(
      "Wanted size of the output (2GB), its share of the dense size (60%), or a perplexity limit (ppl<=+5%)",
    ),
  overrides: z.array(override).max(5_000).optional(),
});

const calibration = z.strictObject({
  data: text.optional().describe("Text file, JSON lines, or a folder of text files"),
  field: z.string().min(1).max(200).optional().describe("Field of each JSON line"),
  nsamples: z.int().min(1).max(1_000_000).optional().describe("Windows of text"),
  seqlen: z.int().min(1).max(10_000_000).optional().describe("Tokens of a window"),
  windows: z.enum(WINDOW_RULES).optional().describe("Which windows of the text"),
  seed: seed.optional(),
  mode: z
    .enum(CALIBRATION_MODES)
    .optional()
    .describe("Inputs that have passed pruned blocks, or those of the dense model"),
});

const evaluation = z.strictObject({
  data: text.optional().describe("Text file, JSON lines, or a folder of text files"),
  field: z.string().min(1).max(200).optional().describe("Field of each JSON line"),
  protocol: z.enum(PROTOCOLS).optional().describe("How the text is cut and scored"),
  ctx: z.int().min(1).max(1_000_000_000).optional().describe("Tokens of a window"),
  stride: z.int().min(1).max(1_000_000_000).optional().describe("Tokens between windows"),
  max_windows: z.int().min(1).max(1_000_000_000).optional().describe("Only the first windows"),
  bos: z.enum(BOS_MODES).optional().describe("The token that begins texts"),
});

const convert = z.strictObject({
  to: z.enum(TARGET_FORMATS).optional(),
  dtype: z.enum(DTYPE_NAMES).optional(),
  max_shard_size: z
    .union([
      z.int().min(1),
      z
        .string()
        .max(40)
        .regex(/^\s*\d+(\.\d+)?\s*([kmgtKMGT][iI]?[bB]?|[bB])?\s*$/)
        .refine((value) => (parseBytes(value) ?? 0) >= 1),
    ])
    .optional()
    .describe("Largest output file, as 5GB, 500MB, 2GiB or bytes"),
  strict_finite: z.boolean().optional().describe("Refuse NaN and infinity"),
});

/** The YAML form. */
export const recipeFile = z.strictObject({
  version: z.literal(RECIPE_VERSION),
  name: z.string().min(1).max(200).optional(),
  description: z.string().max(10_000).optional(),
  model: text.optional().describe("Model folder, file, or org/name in the local cache"),
  output: text.optional().describe("Output folder"),
  prune: prune.optional(),
  calibration: calibration.optional(),
  evaluation: evaluation.optional(),
  convert: convert.optional(),
});

export type RecipeFile = Infer<typeof recipeFile>;

/** The keys of each part; "" is the top level. */
export const RECIPE_KEYS: Readonly<
  Record<"" | "prune" | "overrides" | "calibration" | "evaluation" | "convert", readonly string[]>
> = {
  "": Object.keys(recipeFile.shape),
  prune: Object.keys(prune.shape),
  overrides: Object.keys(override.shape),
  calibration: Object.keys(calibration.shape),
  evaluation: Object.keys(evaluation.shape),
  convert: Object.keys(convert.shape),
};

export const RECIPE_DEFAULTS = {
  method: "magnitude",
  sparsity: 0.5,
  pattern: "unstructured",
  targets: ["Linear"],
  ignore: [],
  allowEmpty: false,
  overrides: [],
  calibratedMethod: "wanda",
  nsamples: 128,
  windows: "first",
  calibrationSeed: 0,
  mode: "sequential",
  /** With a perplexity limit, where every sparsity that is tried can be pruned by one calibration. */
  searchMode: "one-pass",
  protocol: "wanda",
  to: "tile-bitmap",
  maxShardBytes: 5_000_000_000,
  strictFinite: false,
} as const;
