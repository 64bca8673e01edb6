/** The JSON results of `bench kernels` and `tune`; llama-bench's field names where they exist. */
import { type Infer, z } from "../../core/zod.ts";
import { CHOICE_ORIGINS } from "../../pipeline/tune/planner.ts";
import { bytes, count, fraction } from "./parts.ts";

const positive = z.number().positive();

export const gpuSchema = z.strictObject({
  name: z.string(),
  uuid: z.string(),
  driver: z.string(),
  capability: z.string().describe("Compute capability"),
  sms: count,
  memory_bytes: bytes,
  free_memory_bytes: bytes,
  l2_bytes: bytes,
  sm_clock_mhz: count.describe("Before the run"),
  sm_clock_max_mhz: count,
  memory_clock_mhz: count,
  power_limit_w: count,
  temperature_c: z.int(),
  cuda: z.string().describe("That the library was built with"),
  driver_cuda: z.string().describe("The newest that the driver supports"),
});

export const geometrySchema = z.strictObject({
  tokens: count,
  warps: count,
  stages: count,
  blocks_per_sm: count,
  cluster: count,
  round_robin: z.boolean(),
  copies: count,
});

const cellSchema = z.strictObject({
  build_version: z.string(),
  backends: z.literal("CUDA"),
  gpu_info: z.string(),
  test_time: z.string(),
  matrix: z.string().describe("The shape, or the layer's name"),
  m: count.describe("Outputs"),
  k: count.describe("Inputs"),
  n_batch: count.describe("Tokens"),
  dtype: z.enum(["F16", "BF16"]),
  mask: z.string().describe("How the zeros were drawn; checkpoint: a real mask"),
  asked_sparsity: fraction,
  sparsity: fraction.describe("Of the matrix that was measured"),
  avg_ns: positive,
  stddev_ns: z.number().min(0),
  median_ns: positive,
  spread: z.number().min(0).describe("(slowest − fastest replay) / median"),
  samples_ns: z.array(positive).describe("A call; one for each replay, sorted"),
  avg_ts: positive.describe("Tokens a second"),
  stddev_ts: z.number().min(0),
  kernel: geometrySchema,
  weight_bytes: bytes.describe("Read by a sparse product, offsets included"),
  gb_per_s: positive,
  largest_error: z.number().min(0).describe("Over the bound that dtype and summation allow"),
  baseline: z.enum(["cublasLt", "cublasGemmEx", "gemv"]),
  baseline_median_ns: positive,
  baseline_spread: z.number().min(0),
  baseline_candidates: count.describe("cuBLASLt heuristics that were timed"),
  dense_bytes: bytes,
  lt_median_ns: positive.nullable(),
  gemm_median_ns: positive.nullable(),
  gemv_median_ns: positive.nullable(),
  ratio: positive.describe("Baseline over sparse: above 1 sparse is faster"),
  overlap_median_ns: positive.describe("With dependent launch, in a chain of itself"),
  overlap_ratio: positive,
  stream_median_ns: positive.nullable().describe("The same bytes read and not decoded"),
  stream_ratio: positive.nullable(),
  share_of_limit: positive.nullable(),
  two_four_median_ns: positive.nullable(),
  two_four_ratio: positive.nullable().describe("Baseline over 2:4 through cuSPARSELt"),
  millijoules: positive.nullable(),
  baseline_millijoules: positive.nullable(),
  energy_sm_clock_mhz: count.nullable(),
});

export const benchResultSchema = z.strictObject({
  gpu: gpuSchema,
  started: z.string(),
  method: z.string(),
  cells: z.array(cellSchema),
  means: z.array(
    z.strictObject({
      n_batch: count,
      sparsity: fraction,
      mask: z.string(),
      cells: count,
      ratio: positive,
      overlap_ratio: positive,
      stream_ratio: positive.nullable(),
    }),
  ),
});
export type BenchResult = Infer<typeof benchResultSchema>;
export type BenchCell = Infer<typeof cellSchema>;

export const tuneResultSchema = z.strictObject({
  gpu: gpuSchema.nullable().describe("Null: planned without one"),
  cache: z.string(),
  measured: count.describe("Cells that were measured now"),
  matrices: z.array(
    z.strictObject({
      matrix: z.string(),
      layers: count,
      rows: count,
      cols: count,
      dtype: z.enum(["F16", "BF16"]),
      sparsity: fraction,
      storage: z.enum(["sparse", "dense"]).describe("How the planner keeps it on the device"),
      ratio: positive,
      choices: z.array(
        z.strictObject({
          tokens: count,
          ratio: positive,
          overlap_ratio: positive,
          kernel: geometrySchema.nullable().describe("Null: the library's own choice"),
          overlap_kernel: geometrySchema.nullable(),
          from: z.enum(CHOICE_ORIGINS),
        }),
      ),
    }),
  ),
});
export type TuneResult = Infer<typeof tuneResultSchema>;
