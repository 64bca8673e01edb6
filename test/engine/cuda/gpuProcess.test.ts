/** The supervised GPU process: whatever happens in it, its parent gets one typed error and lives. */
import { describe, expect, it } from "vitest";
import { SpInferError } from "../../../src/core/errors.ts";
import { GpuProcess, type Synthetic } from "../../../src/engine/cuda/index.ts";
import { withFakeGpu } from "./startFake.ts";

const WEIGHTS: Synthetic = {
  rows: 64,
  cols: 128,
  dtype: "F16",
  mask: "random",
  sparsity: 0.5,
  seed: 1,
};

async function refusal(work: Promise<unknown>): Promise<SpInferError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof SpInferError) return thrown;
    throw thrown;
  }
  throw new Error("it was accepted");
}

describe("the GPU process", () => {
  it("answers one request after the other", async () => {
    await withFakeGpu(async (gpu) => {
      const [facts, weights] = await Promise.all([
        gpu.ask("describe", null),
        gpu.ask("draw", WEIGHTS),
      ]);
      expect(facts.name).toBe("Made-up GPU");
      expect(weights.nonzeros).toBe(4096);
    });
  });

  it.each([
    ["GP-06 a fault of the GPU", "status-4", "E_GPU_FAULT", 8, "the library said so"],
    ["GP-05 no memory", "status-5", "E_GPU_MEMORY", 7, "the library said so"],
    ["GP-01 no GPU", "status-8", "E_GPU_NONE", 6, "the library said so"],
    ["GP-03 no code for the GPU", "status-3", "E_GPU_UNSUPPORTED", 6, "the library said so"],
    ["GP-11 a wrong product", "status-6", "E_GPU_WRONG", 4, "the library said so"],
    ["no cuBLAS", "status-7", "E_GPU_BASELINE", 6, "the library said so"],
    ["GP-08 a damaged matrix", "status-2", "E_TB_LAYOUT", 3, "the library said so"],
    ["our own mistake", "status-1", "E_INTERNAL", 1, "the library said so"],
    ["GP-17 another library", "library", "E_GPU_LIBRARY", 6, "x.so: its ABI version is 1"],
    ["GP-07 a crash", "segfault", "E_GPU_FAULT", 8, "signal SIGSEGV"],
    ["GP-07 a kill", "killed", "E_GPU_FAULT", 8, "signal SIGKILL"],
    ["an exception that nobody foresaw", "throws", "E_GPU_FAULT", 8, "exit code 1"],
  ])("%s is one typed error", async (_, fault, code, exit, sentence) => {
    await withFakeGpu(async (gpu) => {
      const error = await refusal(gpu.ask("draw", WEIGHTS));
      expect(error.code).toBe(code);
      expect(error.exit).toBe(exit);
      expect(error.message).toContain(sentence);
      if (code === "E_GPU_FAULT") {
        expect(error.detail.found).toContain('while it worked on draw {"rows":64,"cols":128');
        expect((await refusal(gpu.ask("describe", null))).message).toBe(error.message);
      }
    }, fault);
  });

  it("GP-07 a hang ends when time is up", async () => {
    await withFakeGpu(
      async (gpu) => {
        const error = await refusal(gpu.ask("draw", WEIGHTS));
        expect(error.code).toBe("E_GPU_FAULT");
        expect(error.message).toContain("no answer within 0.3 s");
      },
      "hang",
      { timeoutMs: 300 },
    );
  });

  it("ends at once when the run is cancelled", async () => {
    const controller = new AbortController();
    await withFakeGpu(
      async (gpu) => {
        const asked = refusal(gpu.ask("draw", WEIGHTS));
        controller.abort(new SpInferError("E_CANCELLED", "the run was cancelled"));
        expect((await asked).code).toBe("E_CANCELLED");
      },
      "hang",
      { signal: controller.signal },
    );
  });

  it("GP-17 says where it looked when there is no library", () => {
    expect(() => new GpuProcess({ env: { SPINFER_LIBRARY: "/nowhere/libspinfer.so" } })).toThrow(
      expect.objectContaining({
        code: "E_GPU_LIBRARY",
        detail: expect.objectContaining({ found: "nothing at /nowhere/libspinfer.so" }),
      }),
    );
  });
});
