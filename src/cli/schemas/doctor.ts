/** The JSON result of `doctor`. */

import { type Infer, z } from "../../core/zod.ts";
import { INSTRUCTION_SETS } from "../../engine/engine.ts";
import { gpuSchema } from "./bench.ts";
import { bytes, count, errorSchema, milliseconds } from "./parts.ts";

export const doctorResultSchema = z.strictObject({
  spinfer: z.string(),
  node: z.string(),
  platform: z.string(),
  arch: z.string(),
  system: z.string(),
  cpu: z.string(),
  threads: count,
  memory_bytes: bytes,
  free_memory_bytes: bytes,
  folder: z.string(),
  free_disk_bytes: bytes,
  endianness: z.enum(["LE", "BE"]),
  kernels: z.enum(["wasm-simd", "typescript"]),
  native_engine: z.strictObject({
    library: z.string().nullable().describe("Where libspinfer_cpu.so lies"),
    instructions: z
      .enum(INSTRUCTION_SETS)
      .nullable()
      .describe("What it computes with; null where it does not run"),
    problem: errorSchema.nullable().describe("Why it does not run; null where it does"),
  }),
  cuda: z.strictObject({
    library: z.string().nullable().describe("Where libspinfer.so lies"),
    gpu: gpuSchema.nullable(),
    problem: errorSchema.nullable().describe("Why the GPU cannot be used; null where it can"),
  }),
  environment: z.record(z.string(), z.string()).describe("Of a short list of variables"),
  selftest: z
    .array(
      z.strictObject({
        name: z.string(),
        ok: z.boolean(),
        detail: z.string(),
        elapsed_ms: milliseconds,
      }),
    )
    .nullable(),
});

export type DoctorResult = Infer<typeof doctorResultSchema>;
