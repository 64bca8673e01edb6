/** What spinfer-bench-hf wrote (docs/runtimes.md), as the page takes it. */
import { type Infer, z } from "../../core/zod.ts";
import type { LoadingSpeed, ModelSpeed, SideSpeed, SpeedData } from "../../report/index.ts";
import { badRecord } from "../sweep/record.ts";

export const SPEED_SCHEMA = "spinfer.bench-hf/1";

const positive = z.number().positive();
const count = z.int().min(0);
const share = z.number().min(0).max(1);
const text = z.string();

const side = z.object({
  tokensPerSecond: positive,
  stepMs: z.object({ median: positive, deviation: z.number().min(0) }).optional(),
  peakBytes: count,
  joulesPerToken: positive.nullable(),
});

const perplexity = z.object({ value: positive, tokens: count, window: count });
const loads = z.object({ seconds: z.array(positive).min(1) });
const bothLoads = z.object({ dense: loads, sparse: loads });

/** The fields that the page shows. */
const speedRecord = z.object({
  schema: z.literal(SPEED_SCHEMA),
  created: text,
  command: text,
  gpu: z.object({ name: text, driver: text, powerLimitW: count }),
  versions: z.record(text, text),
  models: z.array(
    z.object({
      name: text,
      manifest: text
        .regex(/^[0-9a-f]{64}$/)
        .nullable()
        .optional(),
      perplexity: z.object({ dense: perplexity, sparse: perplexity }).nullable().optional(),
      loading: z
        .object({ device: text, warm: bothLoads, cold: bothLoads.nullable() })
        .nullable()
        .optional(),
      decode: z.array(
        z.object({
          engine: text,
          sparsity: share,
          batch: z.int().positive(),
          speedup: positive,
          dense: side,
          sparse: side,
        }),
      ),
      prefill: z.array(
        z.object({
          engine: text,
          sparsity: share,
          tokens: z.int().positive(),
          speedup: positive,
        }),
      ),
    }),
  ),
});
type SpeedRecord = Infer<typeof speedRecord>;
type Side = Infer<typeof side>;
type Loading = NonNullable<SpeedRecord["models"][number]["loading"]>;

/** Throws E_RECORD. */
export function readSpeedRecord(raw: unknown, path: string): SpeedData {
  const parsed = speedRecord.safeParse(raw);
  if (parsed.success) return speedData(parsed.data);
  const [issue] = parsed.error.issues;
  throw badRecord(path, `${issue?.path.join(".")}: ${issue?.message}`, parsed.error);
}

function speedData({ gpu, command, created, versions, models }: SpeedRecord): SpeedData {
  return {
    gpu: gpu.name,
    command,
    models: models.map(
      (model): ModelSpeed => ({
        model: model.name,
        manifest: model.manifest ?? undefined,
        perplexity: model.perplexity ?? undefined,
        decode: model.decode.map(({ speedup, dense, sparse, ...row }) => ({
          ...row,
          ratio: speedup,
          dense: sideSpeed(dense),
          sparse: sideSpeed(sparse),
        })),
        prefill: model.prefill.map(({ speedup, ...row }) => ({ ...row, ratio: speedup })),
        loading: loadingOf(model.loading ?? undefined),
      }),
    ),
    provenance: [
      ["GPU", `${gpu.name}, at most ${gpu.powerLimitW} W`],
      ["driver", gpu.driver],
      ["measured", created],
      ["command", command],
      ["versions", Object.entries(versions).flat().join(" ")],
    ],
  };
}

/** The spread of tokens/s is that of the step's time, relative. */
function sideSpeed({ stepMs, ...side }: Side): SideSpeed {
  if (stepMs === undefined) return side;
  return { ...side, deviation: (side.tokensPerSecond * stepMs.deviation) / stepMs.median };
}

function loadingOf(loading: Loading | undefined): LoadingSpeed[] {
  if (loading === undefined) return [];
  const { device, warm, cold } = loading;
  const kinds = [["warm", warm] as const, ...(cold === null ? [] : [["cold", cold] as const])];
  return kinds.map(([pageCache, { dense, sparse }]) => ({
    ...{ pageCache, device },
    denseMs: 1000 * median(dense.seconds),
    sparseMs: 1000 * median(sparse.seconds),
  }));
}

/** values: not empty. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
