/**
 * Every JSON shape that the command line prints, as zod schemas. The JSON Schemas beside this file
 * are made from them by scripts/makeSchemas.mjs; what is printed is tested against both. A shape
 * only ever gains fields; anything else raises the number in its name.
 */
import { type ZodType, z } from "../../core/zod.ts";
import { evalReportSchema } from "../../eval/report.ts";
import { sweepRecordSchema } from "../../pipeline/sweep/record.ts";
import { benchResultSchema, tuneResultSchema } from "./bench.ts";
import { calibrateResultSchema } from "./calibrate.ts";
import { doctorResultSchema } from "./doctor.ts";
import { inspectResultSchema } from "./inspect.ts";
import { bytes, count, errorSchema, milliseconds, warningSchema } from "./parts.ts";
import { planResultSchema } from "./plan.ts";
import { reportResultSchema } from "./report.ts";
import { runResultSchema } from "./run.ts";
import {
  completionSchema,
  helpSchema,
  recipeImportSchema,
  recipeInitSchema,
  recipeShowSchema,
  recipeValidateSchema,
  versionSchema,
} from "./small.ts";
import { verifyResultSchema } from "./verify.ts";

const planned = z.discriminatedUnion("dry_run", [runResultSchema, planResultSchema]);

/** The `result` of each command. */
export const RESULTS = {
  inspect: inspectResultSchema,
  plan: planResultSchema,
  prune: planned,
  calibrate: calibrateResultSchema,
  convert: planned,
  verify: verifyResultSchema,
  eval: evalReportSchema,
  sweep: sweepRecordSchema,
  report: reportResultSchema,
  run: planned,
  "bench kernels": benchResultSchema,
  tune: tuneResultSchema,
  "recipe init": recipeInitSchema,
  "recipe import": recipeImportSchema,
  "recipe validate": recipeValidateSchema,
  "recipe show": recipeShowSchema,
  doctor: doctorResultSchema,
  help: helpSchema,
  version: versionSchema,
  completion: completionSchema,
} as const;

const envelope = (command: string, result: ZodType) =>
  z.strictObject({
    schema: z.literal("spinfer.result/1"),
    command: z.literal(command),
    ok: z
      .boolean()
      .describe("false only for a verification that found something, or a gate that was missed"),
    version: z.string(),
    elapsed_ms: milliseconds,
    warnings: z.array(warningSchema),
    result,
  });

export const resultSchema = z.union(
  Object.entries(RESULTS).map(([command, result]) => envelope(command, result)),
);

export const progressSchema = z.strictObject({
  schema: z.literal("spinfer.progress/1"),
  phase: z.enum([
    "hash",
    "calibrate",
    "survey",
    "prune",
    "convert",
    "write",
    "verify",
    "evaluate",
    "sweep",
    "bench",
  ]),
  item: z.string().describe("The tensor or file that was finished last"),
  done: count,
  total: count,
  bytes,
  bytes_total: bytes,
  eta_s: z.number().min(0).nullable(),
  note: z.string().optional().describe("The result so far, for people"),
});

export const warningLineSchema = z.strictObject({
  schema: z.literal("spinfer.warning/1"),
  ...warningSchema.shape,
});

/** One row of a table, with --format jsonl; the columns are those of the command's CSV form. */
export const rowSchema = z
  .object({ schema: z.literal("spinfer.row/1"), command: z.string() })
  .catchall(z.union([z.string(), z.number(), z.boolean(), z.null()]));

const PUBLISHED = {
  result: ["What --json prints on stdout", resultSchema],
  error: ["The last line on stderr of a command that fails, with --json", errorSchema],
  progress: ["A line on stderr with --progress json", progressSchema],
  warning: ["A line on stderr with --progress json", warningLineSchema],
  row: ["A line on stdout with --format jsonl", rowSchema],
} as const;

/** JSON Schemas by file name. */
export function cliJsonSchemas(): Readonly<Record<string, object>> {
  return Object.fromEntries(
    Object.entries(PUBLISHED).map(([name, [title, schema]]) => {
      const { $schema, ...rest } = z.toJSONSchema(schema, {
        target: "draft-2020-12",
        reused: "ref",
      });
      return [`${name}.schema.json`, { $schema, title, ...rest }];
    }),
  );
}
