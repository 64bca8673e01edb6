/**
 * What SpInfer finds on this machine, and whether it works there. Facts are meant for bug reports:
 * of the environment only the variables of a short list are looked at, none of which is a secret.
 */

import os from "node:os";
import { join } from "node:path";
import { plainSelect } from "../../pruners/select.ts";
import { type ErrorRecord, SpInferError, toSpInferError } from "../core/errors.ts";
import { bf16ToFloat, fp16ToFloat } from "../core/half.ts";
import { VERSION } from "../core/version.ts";
import { type GpuFacts, GpuProcess } from "../engine/cuda/index.ts";
import type { InstructionSet } from "../engine/engine.ts";
import { openCpu } from "../engine/native/library.ts";
import { findLibrary } from "../io/nativeLibrary.ts";
import { freeBytes } from "../io/outputFolder.ts";
import { packagePath } from "../io/packageFile.ts";
import { inTemporaryFolder } from "../io/temporaryFolder.ts";
import { modelMatrices } from "./bench/modelMatrices.ts";
import type { OnEvent } from "./events.ts";
import { executeRecipe } from "./execute.ts";
import { openModel } from "./openModel.ts";
import { readTensor } from "./readTensor.ts";
import { defaultRecipe } from "./recipe/index.ts";
import { type VerifyLevel, verifyCheckpoint } from "./verify.ts";
import { selectKernels } from "./work/accelerate.ts";

const ENVIRONMENT = [
  "CI",
  "CUDA_VISIBLE_DEVICES",
  "HF_HOME",
  "HF_HUB_CACHE",
  "NO_COLOR",
  "SPINFER_CPU_INSTRUCTIONS",
  "SPINFER_CPU_LIBRARY",
  "SPINFER_CUDA_LIBRARIES",
  "SPINFER_DEBUG",
  "SPINFER_KERNELS",
  "SPINFER_LIBRARY",
  "TERM",
  "XDG_CACHE_HOME",
] as const;

type Environment = Readonly<Record<string, string | undefined>>;

export interface DoctorFacts {
  readonly spinfer: string;
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
  readonly system: string;
  readonly cpu: string;
  readonly threads: number;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  readonly folder: string;
  readonly freeDiskBytes: number;
  readonly endianness: "LE" | "BE";
  /** What selects and packs weights: our WebAssembly, or its slower TypeScript twin. */
  readonly kernels: "wasm-simd" | "typescript";
  readonly nativeEngine: NativeEngineFacts;
  readonly cuda: CudaFacts;
  readonly environment: Readonly<Record<string, string>>;
}

export interface NativeEngineFacts {
  /** Where libspinfer_cpu.so lies; null where none was found. */
  readonly library: string | null;
  /** What it computes with: amx, avx512 or avx2; null where it does not run. */
  readonly instructions: InstructionSet | null;
  /** Why it does not run; null where it does. */
  readonly problem: ErrorRecord | null;
}

export interface CudaFacts {
  /** Where libspinfer.so lies; null where none was found. */
  readonly library: string | null;
  /** The GPU that would be used; null where there is none. */
  readonly gpu: GpuFacts | null;
  /** Why the GPU cannot be used; null where it can. */
  readonly problem: ErrorRecord | null;
}

/** Starts the GPU process to see whether it can work; nothing is thrown for a missing GPU. */
export async function examine(env: Environment = process.env): Promise<DoctorFacts> {
  return {
    spinfer: VERSION,
    node: process.versions.node,
    platform: process.platform,
    arch: process.arch,
    system: `${os.type()} ${os.release()}`,
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    threads: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    freeMemoryBytes: os.freemem(),
    folder: withoutHome(process.cwd()),
    freeDiskBytes: freeBytes("."),
    endianness: os.endianness(),
    kernels: selectKernels().kernels === plainSelect ? "typescript" : "wasm-simd",
    nativeEngine: await examineNativeEngine(env),
    cuda: await examineGpu(env),
    environment: Object.fromEntries(
      ENVIRONMENT.flatMap((name) => {
        const value = env[name];
        return value === undefined ? [] : [[name, withoutHome(value)]];
      }),
    ),
  };
}

async function examineNativeEngine(env: Environment): Promise<NativeEngineFacts> {
  const { path } = findLibrary("libspinfer_cpu.so", env);
  const library = path === undefined ? null : withoutHome(path);
  try {
    const context = await openCpu(1, env);
    await context.close();
    return { library, instructions: context.instructions, problem: null };
  } catch (thrown) {
    return { library, instructions: null, problem: toSpInferError(thrown).toRecord() };
  }
}

async function examineGpu(env: Environment): Promise<CudaFacts> {
  const { path } = findLibrary("libspinfer.so", env);
  const library = path === undefined ? null : withoutHome(path);
  let gpuProcess: GpuProcess | undefined;
  try {
    gpuProcess = new GpuProcess({ env: { ...process.env, ...env }, timeoutMs: PATIENCE_MS });
    return { library, gpu: await gpuProcess.ask("describe", null), problem: null };
  } catch (thrown) {
    return { library, gpu: null, problem: toSpInferError(thrown).toRecord() };
  } finally {
    await gpuProcess?.close();
  }
}

/** The user's name is nobody's business. */
function withoutHome(text: string): string {
  const home = os.homedir();
  return home.length > 1 ? text.replaceAll(home, "~") : text;
}

/** A driver that does not answer must not keep doctor from saying so. */
const PATIENCE_MS = 30_000;

export interface SelftestStep {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly elapsedMs: number;
}

export interface SelftestOptions {
  /** Also a product on the GPU. */
  readonly gpu?: boolean | undefined;
  readonly threads?: number | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Prunes the model that comes with the package, verifies it and converts it back, offline. */
export async function selftest(options: SelftestOptions = {}): Promise<SelftestStep[]> {
  const model = packagePath("models/demo");
  return await inTemporaryFolder(async (folder) => {
    const [sparse, dense] = [join(folder, "sparse"), join(folder, "dense")];
    const steps: SelftestStep[] = [];
    const step = async (name: string, work: () => Promise<string>): Promise<void> => {
      const begun = performance.now();
      const detail = await work();
      steps.push({ name, ok: true, detail, elapsedMs: performance.now() - begun });
    };
    const verify = async (path: string, level: VerifyLevel, against: string): Promise<string> => {
      const { findings, checks } = await verifyCheckpoint(path, { ...options, level, against });
      if (findings[0] !== undefined) throw SpInferError.fromRecord(findings[0]);
      return `${checks.length} checks passed`;
    };
    await step("prune", async () => {
      const report = await executeRecipe(model, sparse, defaultRecipe("prune"), options);
      return `${report.packed} of ${report.tensors} tensors packed, ${report.bytesIn} → ${report.bytesOut} bytes`;
    });
    await step("verify full", () => verify(sparse, "full", model));
    if (options.gpu === true) await step("product on the GPU", () => productOnGpu(sparse, options));
    await step("convert to dense", async () => {
      const { convert, ...rest } = defaultRecipe("convert");
      const recipe = { ...rest, convert: { ...convert, to: "dense" as const } };
      const report = await executeRecipe(sparse, dense, recipe, options);
      return `${report.tensors} tensors, ${report.bytesOut} bytes`;
    });
    await step("verify dense", () => verify(dense, "full", sparse));
    return steps;
  });
}

/** One packed layer, decoded and multiplied on the GPU, against the decoder and float64 sums here. */
async function productOnGpu(
  checkpoint: string,
  { signal }: Pick<SelftestOptions, "signal">,
): Promise<string> {
  const matrix = (await modelMatrices(checkpoint)).find(({ packed }) => packed !== undefined);
  if (matrix?.packed === undefined) throw new SpInferError("E_INTERNAL", "no layer was packed");
  const { rows, cols, dtype, tensor } = matrix;
  const { bytes } = readTensor(await openModel(checkpoint), tensor);
  const dense = new Uint16Array(bytes.buffer, bytes.byteOffset, rows * cols);
  const gpu = new GpuProcess({ signal });
  try {
    await gpu.ask("load", matrix.packed);
    const decoded = await gpu.ask("decode", null);
    if (decoded.some((value, i) => value !== dense[i])) {
      throw new SpInferError("E_GPU_WRONG", `${tensor} decodes differently on the GPU`);
    }
    const toFloat = dtype === "BF16" ? bf16ToFloat : fp16ToFloat;
    const x = Uint16Array.from({ length: cols }, (_, i) => ONE[dtype] | ((i & 1) << 15));
    const y = await gpu.ask("multiply", { x, tokens: 1 });
    for (let row = 0; row < rows; row++) {
      let [sum, size] = [0, 0];
      for (let col = 0; col < cols; col++) {
        const weight = toFloat(dense[row * cols + col]!);
        sum += col % 2 === 0 ? weight : -weight;
        size += Math.abs(weight);
      }
      // half a step of the output and a generous share for the fp32 sums
      const bound = Math.abs(sum) * (dtype === "BF16" ? 2 ** -8 : 2 ** -11) + size * 2 ** -15;
      if (Math.abs(toFloat(y[row]!) - sum) <= bound) continue;
      throw new SpInferError("E_GPU_WRONG", `${tensor}: row ${row} is ${toFloat(y[row]!)}`, {
        expected: `${sum} ± ${bound}`,
      });
    }
    return `${rows} × ${cols}, decoded and multiplied as here`;
  } finally {
    await gpu.close();
  }
}

/** The bits of 1.0. */
const ONE = { F16: 0x3c00, BF16: 0x3f80 } as const;
