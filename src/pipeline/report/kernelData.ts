/** What bench kernels printed, as the page takes it. */
import { type Infer, z } from "../../core/zod.ts";
import type { KernelData } from "../../report/index.ts";
import { badRecord } from "../sweep/record.ts";

const positive = z.number().positive();
const count = z.int().min(0);

/** The fields that the page shows. */
const kernelRecord = z.object({
  gpu: z.object({
    name: z.string(),
    driver: z.string(),
    cuda: z.string(),
    sm_clock_max_mhz: count,
    power_limit_w: count,
  }),
  started: z.string(),
  method: z.string(),
  cells: z.array(
    z.object({
      build_version: z.string(),
      matrix: z.string(),
      n_batch: count,
      sparsity: z.number().min(0).max(1),
      baseline: z.string(),
      ratio: positive,
    }),
  ),
  means: z.array(
    z.object({
      n_batch: count,
      sparsity: z.number().min(0).max(1),
      cells: count,
      ratio: positive,
    }),
  ),
});
type KernelRecord = Infer<typeof kernelRecord>;

/** Throws E_RECORD. */
export function readKernelRecord(raw: unknown, path: string): KernelRecord {
  const parsed = kernelRecord.safeParse(raw);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badRecord(path, `${issue?.path.join(".")}: ${issue?.message}`, parsed.error);
}

export function kernelData({ gpu, started, method, cells, means }: KernelRecord): KernelData {
  const [first] = cells;
  return {
    gpu: gpu.name,
    method,
    means: means.map(({ n_batch, sparsity, cells: matrices, ratio }) => ({
      tokens: n_batch,
      ...{ sparsity, matrices, ratio },
    })),
    cells: cells.map(({ matrix, n_batch, sparsity, baseline, ratio }) => ({
      tokens: n_batch,
      ...{ matrix, sparsity, baseline, ratio },
    })),
    provenance: [
      ["GPU", `${gpu.name}, at most ${gpu.sm_clock_max_mhz} MHz and ${gpu.power_limit_w} W`],
      ["driver", `${gpu.driver}, CUDA ${gpu.cuda}`],
      ["measured", started],
      ...(first === undefined ? [] : [["made with", `SpInfer ${first.build_version}`] as const]),
    ],
  };
}
