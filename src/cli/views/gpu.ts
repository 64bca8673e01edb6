/** What is said of a GPU and of a kernel. */
import { formatBytes } from "../../core/text.ts";
import type { Geometry, GpuFacts } from "../../engine/cuda/index.ts";
import type { BenchResult } from "../schemas/bench.ts";

export function gpuResult(gpu: GpuFacts): BenchResult["gpu"] {
  return {
    name: gpu.name,
    uuid: gpu.uuid,
    driver: gpu.driver,
    capability: gpu.capability,
    sms: gpu.sms,
    memory_bytes: gpu.memoryBytes,
    free_memory_bytes: gpu.freeMemoryBytes,
    l2_bytes: gpu.l2Bytes,
    sm_clock_mhz: gpu.smClockMhz,
    sm_clock_max_mhz: gpu.smClockMaxMhz,
    memory_clock_mhz: gpu.memoryClockMhz,
    power_limit_w: gpu.powerLimitW,
    temperature_c: gpu.temperatureC,
    cuda: gpu.cuda,
    driver_cuda: gpu.driverCuda,
  };
}

export function gpuLine(gpu: GpuFacts): string {
  const clocks = gpu.smClockMaxMhz > 0 ? ` · SM clock up to ${gpu.smClockMaxMhz} MHz` : "";
  const power = gpu.powerLimitW > 0 ? ` · ${gpu.powerLimitW} W` : "";
  return `${gpu.name} · ${gpu.sms} SMs · ${formatBytes(gpu.memoryBytes)}${clocks}${power} · driver ${gpu.driver || "?"} · CUDA ${gpu.cuda}`;
}

export function geometryResult(geometry: Geometry): BenchResult["cells"][number]["kernel"] {
  return {
    tokens: geometry.tokens,
    warps: geometry.warps,
    stages: geometry.stages,
    blocks_per_sm: geometry.blocksPerSm,
    cluster: geometry.cluster,
    round_robin: geometry.roundRobin !== 0,
    copies: geometry.copies,
  };
}

const COPIES = ["async", "bulk", "bulk, x too"];

/** "8 tokens, 16 warps × 1 an SM, bulk" */
export function geometryText(kernel: BenchResult["cells"][number]["kernel"]): string {
  const cluster = kernel.cluster > 1 ? `, clusters of ${kernel.cluster}` : "";
  const order = kernel.round_robin ? ", round robin" : "";
  return `${kernel.tokens} tokens, ${kernel.warps} warps × ${kernel.blocks_per_sm}${cluster}${order}, ${COPIES[kernel.copies] ?? kernel.copies}`;
}
