/** The JSON result of calibrate. */
import { type Infer, z } from "../../core/zod.ts";
import { bytes, count, milliseconds } from "./parts.ts";

export const calibrateResultSchema = z.strictObject({
  output: z.string(),
  bytes,
  sha256: z.string(),
  weights: count.describe("Matrices whose inputs were looked at"),
  gram: z.boolean().describe("Whether SparseGPT can use it"),
  mode: z.enum(["sequential", "one-pass"]),
  nsamples: count,
  seqlen: count,
  windows: z.enum(["first", "random"]),
  seed: count,
  tokens: count,
  text_sha256: z.string(),
  engine: z.string(),
  elapsed_ms: milliseconds,
});

export type CalibrateResult = Infer<typeof calibrateResultSchema>;
