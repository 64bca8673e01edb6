/** The JSON result of `prune`, `convert` and `run`. */
import { type Infer, z } from "../../core/zod.ts";
import { searchRecordSchema } from "../../pipeline/search/record.ts";
import { bytes, count, fraction, milliseconds, sha256 } from "./parts.ts";
import { verifyResultSchema } from "./verify.ts";

export const runResultSchema = z.strictObject({
  dry_run: z.literal(false),
  output: z.string().describe("Absolute path"),
  format: z.enum(["tile-bitmap", "dense"]),
  tensors: count,
  pruned: count,
  packed: count,
  sparsity: fraction.describe("Zeros among the weights that were pruned or packed"),
  bytes_in: bytes,
  bytes_out: bytes,
  nonfinite: count.describe("NaN and infinities among the weights; they were kept"),
  overflowed: count.describe("Values that became infinite in the output's dtype"),
  underflowed: count.describe("Values that became zero in the output's dtype"),
  resumed_tensors: count.describe("Tensors that an interrupted run had finished"),
  manifest_sha256: sha256,
  search: searchRecordSchema
    .nullable()
    .describe("How a perplexity limit found the sparsity; null without one"),
  elapsed_ms: milliseconds,
  verified: verifyResultSchema.nullable().describe("null with --verify none"),
});

export type RunResult = Infer<typeof runResultSchema>;
