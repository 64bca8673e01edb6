/** The JSON result of `verify`. */
import { type Infer, z } from "../../core/zod.ts";
import { bytes, count, errorSchema, milliseconds } from "./parts.ts";

export const verifyResultSchema = z.strictObject({
  checkpoint: z.string(),
  level: z.enum(["structure", "hash", "full"]),
  ok: z.boolean(),
  checks: z.array(
    z.strictObject({
      name: z.string(),
      status: z.enum(["passed", "failed", "skipped"]),
      items: count.describe("Files or tensors looked at"),
      detail: z.string().nullable(),
    }),
  ),
  findings: z.array(errorSchema),
  bytes,
  elapsed_ms: milliseconds,
});

export type VerifyResult = Infer<typeof verifyResultSchema>;
