/** The JSON result of `plan` and of --dry-run. */
import { type Infer, z } from "../../core/zod.ts";
import { bytes, count, fraction } from "./parts.ts";

export const planResultSchema = z.strictObject({
  dry_run: z.literal(true),
  model: z.string(),
  output: z.string().nullable(),
  format: z.string().describe("Format of the source"),
  to: z.enum(["tile-bitmap", "dense"]),
  dtype: z.string().describe("dtype that the weights will have"),
  totals: z.strictObject({
    tensors: count,
    pruned: count,
    packed: count,
    parameters: count,
    pruned_parameters: count,
    sparsity: fraction.describe("Zeros among the parameters that are pruned"),
    bytes_in: bytes,
    bytes_out: bytes.describe("As expected"),
    bytes_out_most: bytes,
  }),
  memory_bytes: bytes.describe("Estimate of the most memory that the process will hold"),
  disk_bytes: bytes.describe("Free space that the run needs"),
  disk_free_bytes: bytes,
  estimated_ms: count,
  threads: count,
  recipe: z.string().describe("The resolved recipe, as YAML"),
  files: z.array(z.strictObject({ name: z.string(), tensors: count })),
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      role: z.string(),
      shape: z.array(count),
      dtype: z.string(),
      prune: z.string().nullable().describe("Name of the pruner; null: kept as it is"),
      sparsity: fraction.nullable(),
      pattern: z.string().nullable(),
      store: z.enum(["tile-bitmap", "dense"]).describe("tile-bitmap only if that is smaller"),
      reason: z.string().nullable().describe("Why it is not pruned, or not packed"),
      bytes_in: bytes,
      bytes_out: bytes,
      bytes_out_most: bytes,
    }),
  ),
});

export type PlanResult = Infer<typeof planResultSchema>;
