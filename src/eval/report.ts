/**
 * spinfer.eval/1: an evaluation with everything that tells whether it may be compared with another:
 * protocol, windows, and hashes of text, tokenizer and weights.
 */
import { SpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { printable } from "../core/text.ts";
import { type Infer, type ZodType, z } from "../core/zod.ts";
import { ENGINES, INSTRUCTION_SETS } from "../engine/engine.ts";
import { BOS_MODES, PROTOCOLS } from "./windows.ts";

export const EVAL_SCHEMA = "spinfer.eval/1";

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const file = z.strictObject({ path: z.string(), bytes: count, sha256 });
const positive = z.number().min(0);

const model = z.strictObject({
  path: z.string().describe("As it was named"),
  format: z.string(),
  family: z.string().describe("model_type of config.json"),
  manifest_sha256: sha256.nullable().describe("null: SpInfer did not write it"),
  files: z.array(file).describe("The files that hold weights"),
  sparsity: z.number().min(0).max(1).nullable().describe("Zeros in pruned or packed weights"),
});

const gate = z.strictObject({
  gate: z.string(),
  value: z.number().describe("Percentages as fractions"),
  bound: z.number(),
  passed: z.boolean(),
});

const comparison = z.strictObject({
  source: z.enum(["model", "report"]).describe("Run beside it, or read from a report"),
  model,
  loss: positive,
  perplexity: positive,
  stderr: positive.nullable(),
  delta: z.number().describe("perplexity / base perplexity − 1"),
  delta_stderr: positive.nullable().describe("From differences within windows; null for a report"),
  kl: positive.nullable().describe("KL(base || model), nats a token; null for a report"),
  kl_stderr: positive.nullable(),
  agreement: z.number().min(0).max(1).nullable().describe("Same most likely token"),
  agreement_stderr: positive.nullable(),
});

export const evalReportSchema = z.strictObject({
  schema: z.literal(EVAL_SCHEMA),
  created_by: z.strictObject({ name: z.literal("spinfer"), version: z.string() }),
  evaluated: z.string().describe("When it ended, UTC"),
  ok: z.boolean().describe("Whether every gate was passed"),
  model,
  protocol: z.enum(PROTOCOLS),
  ctx: count,
  stride: count,
  bos: z.enum(BOS_MODES),
  bos_id: count.nullable(),
  max_windows: count.nullable(),
  dataset: z.strictObject({
    path: z.string(),
    kind: z.enum(["file", "jsonl", "folder"]),
    field: z.string().nullable(),
    files: z.array(file),
    documents: count,
    sha256: sha256.describe("Of the text as it was tokenised, in UTF-8"),
  }),
  tokenizer: z.strictObject({
    sha256: sha256.describe("Of tokenizer.json"),
    settings_sha256: sha256.nullable().describe("Of tokenizer_config.json"),
  }),
  tokens: count.describe(
    "Of the text, with what was put around it; with max_windows, as far as the last of them goes",
  ),
  windows: count,
  scored: count.describe("Tokens whose loss is in the mean"),
  loss: positive.describe("Nats a token"),
  perplexity: positive,
  stderr: positive.nullable().describe("Of the perplexity; null with one window"),
  base: comparison.nullable(),
  gates: z.array(gate),
  engine: z.enum(ENGINES),
  instructions: z
    .enum(INSTRUCTION_SETS)
    .nullable()
    .optional()
    .describe("The instruction set of the native engine; null for others"),
  elapsed_ms: positive,
});

export type EvalReport = Infer<typeof evalReportSchema>;
export type ModelRecord = Infer<typeof model>;

/** Throws E_EVAL_REPORT. Fields of later versions are let pass. */
export function readEvalReport(bytes: Uint8Array, path: string): EvalReport {
  const refuse = (what: string, cause?: unknown): SpInferError =>
    new SpInferError("E_EVAL_REPORT", `${path}: ${what}`, {
      path,
      cause,
      expected: "a file that spinfer eval --report wrote",
    });
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw refuse("the file is not JSON", cause);
  }
  if (!isRecord(raw) || raw["schema"] !== EVAL_SCHEMA) {
    const schema = isRecord(raw) && typeof raw["schema"] === "string" ? raw["schema"] : "no schema";
    throw refuse(`not an evaluation report but ${printable(schema, 60)}`);
  }
  const parsed = loose(evalReportSchema).safeParse(raw);
  if (parsed.success) return parsed.data as EvalReport;
  const [issue] = parsed.error.issues;
  throw refuse(`${issue?.path.join(".")}: ${issue?.message}`, parsed.error);
}

/** Objects that drop what they do not know: a shape only ever gains fields. */
function loose(schema: ZodType): ZodType {
  if (schema instanceof z.ZodNullable) return loose(schema.unwrap() as ZodType).nullable();
  if (schema instanceof z.ZodArray) return z.array(loose(schema.element as ZodType));
  if (!(schema instanceof z.ZodObject)) return schema;
  const members = Object.entries(schema.shape).map(([key, member]) => [
    key,
    loose(member as ZodType),
  ]);
  return z.object(Object.fromEntries(members));
}

/** What must be the same for two perplexities to mean something beside each other. */
export type Comparable = Pick<
  EvalReport,
  "protocol" | "ctx" | "stride" | "bos" | "bos_id" | "windows" | "scored"
> & {
  readonly dataset: Pick<EvalReport["dataset"], "sha256">;
  readonly tokenizer: Pick<EvalReport["tokenizer"], "sha256">;
};

/** Throws E_EVAL_COMPARE naming the first thing that differs. */
export function requireComparable(ours: Comparable, theirs: EvalReport, path: string): void {
  const facts = (report: Comparable): readonly (readonly [string, unknown, string])[] => [
    ["the text", report.dataset.sha256, "the same --dataset (and --field)"],
    ["the tokenizer", report.tokenizer.sha256, "models with the same tokenizer.json"],
    ["the protocol", report.protocol, `--protocol ${theirs.protocol}`],
    ["the window", report.ctx, `--ctx ${theirs.ctx}`],
    ["the stride", report.stride, `--stride ${theirs.stride}`],
    ["the handling of BOS", report.bos, `--bos ${theirs.bos}`],
    ["the BOS token", report.bos_id, `--bos ${theirs.bos}`],
    ["the number of windows", report.windows, `--max-windows ${theirs.windows}`],
    ["the number of scored tokens", report.scored, "the same options"],
  ];
  const before = facts(theirs);
  for (const [i, [what, value, fix]] of facts(ours).entries()) {
    const other = before[i]![1];
    if (value === other) continue;
    throw new SpInferError("E_EVAL_COMPARE", `${path}: ${what} is another`, {
      path,
      found: `${value} here, ${other} there`,
      hint: `evaluate with ${fix}, or make the report anew`,
    });
  }
}
