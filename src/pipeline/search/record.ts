/** What a search for the sparsity that meets a perplexity limit tried and found. */
import { type Infer, z } from "../../core/zod.ts";
import { evalReportSchema } from "../../eval/report.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const positive = z.number().min(0);
const fraction = z.number().min(0).max(1);

const tried = z.strictObject({
  sparsity: fraction.describe("As it was asked for"),
  zeros: fraction.describe("Of the matrices that were pruned"),
  perplexity: positive.nullable().describe("null: the model's numbers became NaN or infinite"),
  stderr: positive.nullable(),
  meets: z.boolean().describe("Whether the perplexity is at most the limit"),
});

/** In the manifest and in the result of `prune` and `run`; it holds no times and no paths. */
export const searchRecordSchema = z.strictObject({
  target: z.string().describe("As it was asked for: ppl<=+5%, ppl<=12.5"),
  limit: positive.describe("The perplexity that it allows"),
  dense: z.strictObject({ perplexity: positive, stderr: positive.nullable() }),
  sparsity: fraction.describe("What was found: the largest that was measured to meet the limit"),
  perplexity: positive.describe("Of the weights that were written"),
  stderr: positive.nullable(),
  ending: z
    .enum(["near", "grid", "tries"])
    .describe(
      "near: within 1 % of the limit and a tenth of the way from dense; grid: 0.001 more misses it; tries: they ran out",
    ),
  tries: z.array(tried).describe("In the order in which they were made"),
  protocol: z.string(),
  ctx: count,
  stride: count,
  bos: z.string(),
  bos_id: count.nullable(),
  max_windows: count.nullable(),
  windows: count,
  tokens: count.describe("Of the text; with max_windows, as far as the last of them goes"),
  scored: count,
  dataset_sha256: sha256.describe("Of the text as it was tokenised"),
  tokenizer_sha256: sha256,
  engine: z.string(),
});

export type SearchRecord = Infer<typeof searchRecordSchema>;

export const SEARCH_STATE_SCHEMA = "spinfer.search/1";

/** search.json of an unfinished search: enough to go on with. */
export const searchStateSchema = z.strictObject({
  schema: z.literal(SEARCH_STATE_SCHEMA),
  fingerprint: sha256,
  dense: evalReportSchema,
  /** Of the file that all tries are pruned by; null: none, or one for each try. */
  statistics_sha256: sha256.nullable(),
  tries: z.array(
    z.strictObject({
      step: count,
      zeros: fraction,
      perplexity: positive.nullable(),
      stderr: positive.nullable(),
      weights_sha256: sha256,
    }),
  ),
});

export type SearchState = Infer<typeof searchStateSchema>;
