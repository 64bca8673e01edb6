/** The GPU process with the made-up GPU in it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GpuProcess, type GpuProcessOptions } from "../../../src/engine/cuda/index.ts";

const PROGRAM = fileURLToPath(new URL("./fakeGpu.mjs", import.meta.url));

/** `fault`: how it fails; see fakeGpu.mjs. */
export async function withFakeGpu<T>(
  work: (gpu: GpuProcess) => Promise<T>,
  fault?: string,
  options: Partial<GpuProcessOptions> = {},
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-gpu-"));
  const library = join(folder, fault === undefined ? "fine.so" : `fault-${fault}.so`);
  writeFileSync(library, "");
  const gpu = new GpuProcess({
    program: PROGRAM,
    env: { ...process.env, SPINFER_LIBRARY: library },
    ...options,
  });
  try {
    return await work(gpu);
  } finally {
    await gpu.close();
    rmSync(folder, { recursive: true });
  }
}
