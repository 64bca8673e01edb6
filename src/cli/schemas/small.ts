/** The JSON results of the small commands: recipe, help, version, completion. */
import { z } from "../../core/zod.ts";
import { count } from "./parts.ts";

export const recipeInitSchema = z.strictObject({
  preset: z.string(),
  path: z.string().nullable().describe("null: it was only printed"),
  yaml: z.string(),
});

export const recipeImportSchema = z.strictObject({
  source: z.string(),
  path: z.string().nullable().describe("null: it was only printed"),
  yaml: z.string(),
  unmapped: z.array(z.string()).describe("What has no counterpart"),
});

export const recipeValidateSchema = z.strictObject({
  path: z.string(),
  valid: z.literal(true).describe("A recipe that is not valid is an error"),
  summary: z.string(),
});

export const recipeShowSchema = z.strictObject({ path: z.string(), yaml: z.string() });

export const helpSchema = z.strictObject({
  topic: z.string().nullable(),
  text: z.string(),
  code: z.string().optional(),
  exit: count.optional(),
  summary: z.string().optional(),
});

export const versionSchema = z.strictObject({
  spinfer: z.string(),
  node: z.string(),
  platform: z.string(),
  arch: z.string(),
});

export const completionSchema = z.strictObject({ shell: z.string(), script: z.string() });
