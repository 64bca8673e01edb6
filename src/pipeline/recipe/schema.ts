/**
 * The recipe: what a user asks for. `recipeFile` is its YAML form, checked key by key; `Recipe` is
 * what the pipeline sees, with every default filled in. The published JSON Schema is made from
 * `recipeFile` (scripts/makeSchemas.ts).
 */

import type { WeightDtype } from "../../core/dtype.ts";
import { parseBytes } from "../../core/text.ts";
import { type Infer, z } from "../../core/zod.ts";

export const RECIPE_VERSION = 1;
export const SCOPES = ["matrix", "row", "model"] as const;
export const TARGET_FORMATS = ["tile-bitmap", "dense"] as const;
export const DTYPE_NAMES = ["f16", "bf16", "f32"] as const;
export const LARGEST_GROUP = 32;

export type Scope = (typeof SCOPES)[number];
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

export interface MethodOptions {
  /** What one threshold spans. */
  readonly scope?: Scope;
  readonly seed?: number;
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

export interface Recipe {
  readonly version: typeof RECIPE_VERSION;
  readonly name?: string;
  readonly description?: string;
  /** Path or org/name. Absent: named on the command line. */
  readonly model?: string;
  readonly output?: string;
  /** Absent: the weights stay as they are and are only converted. */
  readonly prune?: PruneRecipe;
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
  scope: scope.optional(),
  seed: seed.optional(),
});

const prune = z.strictObject({
  method: method.optional(),
  sparsity: sparsity.optional(),
  pattern: pattern.optional(),
  scope: scope.optional(),
  seed: seed.optional(),
  targets: patterns.min(1).optional(),
  ignore: patterns.optional(),
  allow_empty: z.boolean().optional().describe("Do not mind targets that match nothing"),
  overrides: z.array(override).max(5_000).optional(),
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
  convert: convert.optional(),
});

export type RecipeFile = Infer<typeof recipeFile>;

/** The keys of each part; "" is the top level. */
export const RECIPE_KEYS: Readonly<
  Record<"" | "prune" | "overrides" | "convert", readonly string[]>
> = {
  "": Object.keys(recipeFile.shape),
  prune: Object.keys(prune.shape),
  overrides: Object.keys(override.shape),
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
  to: "tile-bitmap",
  maxShardBytes: 5_000_000_000,
  strictFinite: false,
} as const;
