/** spinfer.sweep/1: what pruning a model by several methods, each at several sparsities, cost. */
import { SpInferError } from "../../core/errors.ts";
import { isRecord } from "../../core/guards.ts";
import { printable } from "../../core/text.ts";
import { type Infer, z } from "../../core/zod.ts";
import { evalReportSchema } from "../../eval/report.ts";

export const SWEEP_SCHEMA = "spinfer.sweep/1";

const count = z.int().min(0);
const positive = z.number().min(0);
const fraction = z.number().min(0).max(1);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const asked = z.strictObject({
  protocol: z.string(),
  ctx: count.nullable(),
  stride: count.nullable(),
  max_windows: count.nullable(),
  bos: z.string().nullable(),
  dataset_sha256: sha256.nullable().describe("null: the embedded model's own text"),
  tokenizer: z.string().nullable(),
  targets: z.array(z.string()).nullable(),
  ignore: z.array(z.string()).nullable(),
});

const calibration = z.strictObject({
  file: z.string(),
  bytes: count,
  sha256,
  text_sha256: sha256,
  tokenizer_sha256: sha256,
  nsamples: count,
  seqlen: count,
  windows: z.string(),
  seed: count,
  engine: z.string(),
  gram: z.boolean().describe("Whether it has the Gram matrices that SparseGPT needs"),
  elapsed_ms: positive.nullable().describe("null: an earlier run gathered it"),
  peak_memory_bytes: count.nullable(),
});

const layer = z.strictObject({
  tensor: z.string(),
  elements: count,
  nonzeros: count,
  bytes: count,
  dense_bytes: count,
});

const point = z.strictObject({
  name: z.string(),
  method: z.string(),
  allocation: z.enum(["uniform", "owl"]),
  pattern: z.string(),
  asked_sparsity: fraction,
  sparsity: fraction.describe("Of the matrices that were pruned"),
  loss: positive,
  perplexity: positive,
  stderr: positive.nullable(),
  delta: z.number().describe("perplexity / dense perplexity − 1"),
  bytes: count.describe("Of the files with weights"),
  dense_bytes: count.describe("Of the same tensors stored dense"),
  prune_ms: positive,
  evaluate_ms: positive,
  peak_memory_bytes: count.describe(
    "Largest resident size of the process in samples 20 ms apart, pruning and evaluating; what earlier points left behind is in it",
  ),
  engine: z.string(),
  manifest_sha256: sha256.nullable().describe("As in the checkpoint's manifest"),
  statistics_sha256: sha256.nullable().describe("null: the method looks at weights alone"),
  checkpoint: z.string().nullable().describe("null: it was not kept"),
  layers: z.array(layer).describe("The tensors that were pruned"),
});

export const sweepRecordSchema = z.strictObject({
  schema: z.literal(SWEEP_SCHEMA),
  created_by: z.strictObject({ name: z.literal("spinfer"), version: z.string() }),
  asked: asked.describe("Settings that all points share"),
  machine: z.strictObject({
    platform: z.string(),
    arch: z.string(),
    cpus: count,
    memory_bytes: count,
    node: z.string(),
  }),
  dense: evalReportSchema,
  dense_peak_memory_bytes: count,
  calibration: calibration.nullable(),
  points: z.array(point),
});

export type SweepRecord = Infer<typeof sweepRecordSchema>;
export type SweepResult = SweepRecord["points"][number];

/** Throws E_RECORD. */
export function readSweepRecord(bytes: Uint8Array, path: string): SweepRecord {
  const raw = parseRecord(bytes, path);
  const parsed = sweepRecordSchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badRecord(path, `${issue?.path.join(".")}: ${issue?.message}`, parsed.error);
}

/** Any JSON object that names its shape. Throws E_RECORD. */
export function parseRecord(bytes: Uint8Array, path: string): Readonly<Record<string, unknown>> {
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw badRecord(path, "the file is not JSON", cause);
  }
  if (isRecord(raw) && typeof raw["schema"] === "string") return raw;
  throw badRecord(path, "it does not say what it is");
}

export function badRecord(path: string, what: string, cause?: unknown): SpInferError {
  return new SpInferError("E_RECORD", `${path}: ${printable(what)}`, {
    path,
    cause,
    expected: "what spinfer sweep, eval --report, prune or bench kernels --json wrote",
  });
}
