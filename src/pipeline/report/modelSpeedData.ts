/** What spinfer-bench-hf wrote, as the page takes it. docs/runtimes.md describes the record. */
import { type Infer, z } from "../../core/zod.ts";
import type { ModelSpeed, ModelSpeedData } from "../../report/index.ts";
import { badRecord } from "../sweep/record.ts";

export const MODEL_SPEED_SCHEMA = "spinfer.bench-hf/1";

const positive = z.number().positive();
const count = z.int().min(1);

/** The fields that the page shows. */
const row = {
  engine: z.string(),
  sparsity: z.number().min(0).max(1),
  speedup: positive,
};
const decodeSide = z.object({ tokensPerSecond: positive, peakBytes: z.number().min(0) });
const prefillSide = z.object({ tokensPerSecond: positive });

const modelSpeedRecord = z.object({
  schema: z.literal(MODEL_SPEED_SCHEMA),
  created: z.string(),
  command: z.string(),
  gpu: z.object({ name: z.string(), driver: z.string(), powerLimitW: z.number().min(0) }),
  versions: z.record(z.string(), z.unknown()),
  models: z.array(
    z.object({
      name: z.string(),
      weights: z.string(),
      decode: z.array(z.object({ ...row, batch: count, dense: decodeSide, sparse: decodeSide })),
      prefill: z.array(
        z.object({ ...row, tokens: count, dense: prefillSide, sparse: prefillSide }),
      ),
    }),
  ),
});
type ModelSpeedRecord = Infer<typeof modelSpeedRecord>;

/** Throws E_RECORD. */
export function readModelSpeedRecord(raw: unknown, path: string): ModelSpeedRecord {
  const parsed = modelSpeedRecord.safeParse(raw);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badRecord(path, `${issue?.path.join(".")}: ${issue?.message}`, parsed.error);
}

export function modelSpeedData(record: ModelSpeedRecord): ModelSpeedData {
  const { gpu, created, command, versions, models } = record;
  return {
    gpu: gpu.name,
    speeds: models.flatMap(({ name, weights, decode, prefill }): ModelSpeed[] => {
      const model = weights === "random" ? `${name}, random weights` : name;
      return [
        ...decode.map(({ engine, sparsity, batch, speedup, dense, sparse }) => ({
          ...{ model, engine, sparsity, kind: "decode" as const, size: batch, ratio: speedup },
          tokensPerSecond: { dense: dense.tokensPerSecond, sparse: sparse.tokensPerSecond },
          peakBytes: { dense: dense.peakBytes, sparse: sparse.peakBytes },
        })),
        ...prefill.map(({ engine, sparsity, tokens, speedup, dense, sparse }) => ({
          ...{ model, engine, sparsity, kind: "prefill" as const, size: tokens, ratio: speedup },
          tokensPerSecond: { dense: dense.tokensPerSecond, sparse: sparse.tokensPerSecond },
        })),
      ];
    }),
    provenance: [
      ["device", gpu.powerLimitW > 0 ? `${gpu.name}, ${gpu.powerLimitW} W` : gpu.name],
      ["driver", gpu.driver],
      ["measured", created],
      ["command", command],
      [
        "versions",
        Object.entries(versions)
          .map(([name, is]) => `${name} ${is}`)
          .join(", "),
      ],
    ],
  };
}
