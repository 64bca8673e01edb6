/**
 * What SpInfer finds on this machine, and whether it works there. Facts are meant for bug reports:
 * of the environment only the variables of a short list are looked at, none of which is a secret.
 */
import os from "node:os";
import { join } from "node:path";
import { plainSelect } from "../../pruners/select.ts";
import { SpInferError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { freeBytes } from "../io/outputFolder.ts";
import { packagePath } from "../io/packageFile.ts";
import { inTemporaryFolder } from "../io/temporaryFolder.ts";
import type { OnEvent } from "./events.ts";
import { executeRecipe } from "./execute.ts";
import { defaultRecipe } from "./recipe/index.ts";
import { type VerifyLevel, verifyCheckpoint } from "./verify.ts";
import { selectKernels } from "./work/accelerate.ts";

const ENVIRONMENT = [
  "CI",
  "HF_HOME",
  "HF_HUB_CACHE",
  "NO_COLOR",
  "SPINFER_DEBUG",
  "SPINFER_KERNELS",
  "TERM",
  "XDG_CACHE_HOME",
] as const;

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
  /** Null while no CUDA library comes with the package. */
  readonly cuda: null;
  readonly environment: Readonly<Record<string, string>>;
}

export function examine(
  env: Readonly<Record<string, string | undefined>> = process.env,
): DoctorFacts {
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
    cuda: null,
    environment: Object.fromEntries(
      ENVIRONMENT.flatMap((name) => {
        const value = env[name];
        return value === undefined ? [] : [[name, withoutHome(value)]];
      }),
    ),
  };
}

/** The user's name is nobody's business. */
function withoutHome(text: string): string {
  const home = os.homedir();
  return home.length > 1 ? text.replaceAll(home, "~") : text;
}

export interface SelftestStep {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly elapsedMs: number;
}

export interface SelftestOptions {
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
