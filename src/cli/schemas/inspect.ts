/** The JSON result of `inspect`. */
import { type Infer, z } from "../../core/zod.ts";
import { bytes, count, fraction, sha256 } from "./parts.ts";

const group = z.strictObject({
  tensors: count,
  parameters: count,
  bytes,
  sparsity: fraction.nullable().describe("Where zeros are known: of packed tensors, or --stats"),
});

export const inspectResultSchema = z.strictObject({
  model: z.string(),
  format: z.string(),
  architecture: z.string().nullable(),
  parameters: count,
  bytes: bytes.describe("Of all tensors, as stored"),
  dense_bytes: bytes.describe("Of all tensors, if they were dense"),
  sparsity: fraction.nullable(),
  tied: z.boolean().describe("The output head is the embedding"),
  quantized: z.string().nullable(),
  files: z.array(z.strictObject({ name: z.string(), bytes, sha256: sha256.nullable() })),
  dtypes: z.record(z.string(), group),
  roles: z.record(z.string(), group),
  layers: z.array(group.extend({ block: count })),
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      role: z.string(),
      block: count.nullable(),
      dtype: z.string(),
      shape: z.array(count),
      stored: z.string(),
      bytes,
      parameters: count,
      nonzeros: count.nullable(),
      sparsity: fraction.nullable(),
    }),
  ),
});

export type InspectResult = Infer<typeof inspectResultSchema>;
