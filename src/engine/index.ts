/** Opening a model to run it: which engine, which architecture, which weights. */
import { availableParallelism } from "node:os";
import type { ModelConfig } from "../core/archive.ts";
import { SpInferError } from "../core/errors.ts";
import { formatDuration } from "../core/text.ts";
import type { Decoder } from "../model/architectures/defineArchitecture.ts";
import { readDecoder } from "../model/architectures/index.ts";
import { weightsOf } from "../model/architectures/survey.ts";
import { textConfig } from "../model/config.ts";
import type { Backend } from "./backend.ts";
import type { EngineName, RunnableModel, WeightSource } from "./engine.ts";
import { nativeBackend } from "./native/backend.ts";
import { openCpu } from "./native/library.ts";
import { onnxBackend } from "./onnxruntime/backend.ts";
import { startHost } from "./onnxruntime/workerHost.ts";
import { runnableModel } from "./runnable.ts";
import { typescriptBackend } from "./typescript/backend.ts";
import { multiplyTransposed } from "./typescript/matrix.ts";

export type EngineChoice = "auto" | EngineName;

export interface EngineOptions {
  /**
   * "auto" takes the first that can be loaded of native and onnxruntime, else the plain engine, with a
   * warning.
   */
  readonly prefer?: EngineChoice | undefined;
  /** Threads of the fast engines; all cores when absent. The plain engine has one. */
  readonly threads?: number | undefined;
  /** A sentence for people: a fast engine was wanted and is not there, or blocks are left out. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface LoadedEngine {
  readonly backend: Backend;
  /** Why it is none of the fast ones that "auto" looks for first. */
  readonly fallback: SpInferError | undefined;
}

const BACKENDS: Readonly<Record<EngineName, (threads: number) => Promise<Backend>>> = {
  // more threads than cores wait for each other; results do not depend on their number
  native: async (threads) =>
    nativeBackend(await openCpu(Math.min(threads, availableParallelism()))),
  onnxruntime: async (threads) => onnxBackend(await startHost(threads)),
  typescript: async () => typescriptBackend(),
};

/** Throws E_ENGINE_MISSING when an engine is asked for by name and cannot be loaded. */
export async function loadEngine(options: EngineOptions = {}): Promise<LoadedEngine> {
  const { prefer = "auto", threads = availableParallelism(), onWarning } = options;
  if (prefer !== "auto") return { backend: await BACKENDS[prefer](threads), fallback: undefined };
  const native = await unlessMissing(BACKENDS.native(threads));
  if (!(native instanceof SpInferError)) return { backend: native, fallback: undefined };
  const onnx = await unlessMissing(BACKENDS.onnxruntime(threads));
  const reason = `${native.message} (${native.detail.found})`;
  if (!(onnx instanceof SpInferError)) {
    // whoever names a library or an instruction set wants that engine
    if (isNativeAsked()) onWarning?.(`${reason}; onnxruntime runs instead`);
    return { backend: onnx, fallback: undefined };
  }
  onWarning?.(
    `${onnx.message}; the plain engine runs instead, since ${reason}. ${onnx.detail.hint ?? ""}`,
  );
  return { backend: typescriptBackend(), fallback: onnx };
}

function isNativeAsked(): boolean {
  const { SPINFER_CPU_LIBRARY: library = "", SPINFER_CPU_INSTRUCTIONS: set = "" } = process.env;
  return library !== "" || set !== "";
}

async function unlessMissing(loading: Promise<Backend>): Promise<Backend | SpInferError> {
  try {
    return await loading;
  } catch (thrown) {
    if (thrown instanceof SpInferError && thrown.code === "E_ENGINE_MISSING") return thrown;
    throw thrown;
  }
}

/**
 * A model made ready to run; nothing of its weights is read yet. Throws what `readDecoder` and
 * `loadEngine` throw.
 */
export async function openRunnable(
  config: ModelConfig | undefined,
  weights: WeightSource,
  options: EngineOptions = {},
): Promise<RunnableModel> {
  const decoder = readDecoder(config, weights);
  if (hasMoreBlocks(decoder, weights)) {
    options.onWarning?.(
      `config.json says ${decoder.blocks} blocks and the checkpoint has more: those are not run`,
    );
  }
  const { backend, fallback } = await loadEngine(options);
  if (fallback !== undefined) options.onWarning?.(estimate(decoder));
  const family = String(textConfig(config)["model_type"]);
  return runnableModel(family, decoder, weights, backend);
}

/** Whether there are weights of the block after the last. transformers leaves them out too. */
function hasMoreBlocks(decoder: Decoder, weights: WeightSource): boolean {
  const first = decoder.block(0);
  const prefix = first.prefix.replace(/0\.$/, `${decoder.blocks}.`);
  return weightsOf(first).some(({ name }) => weights.has(prefix + name));
}

/** About how long the plain engine takes, from the products of one block and a measured one. */
function estimate(decoder: Decoder): string {
  const size = 256;
  const values = new Float32Array(size * size).fill(0.5);
  const matrix = { rows: size, columns: size, values };
  // the first ones are not compiled yet, and other work only ever adds time
  const times = Array.from({ length: 5 }, () => {
    const begin = performance.now();
    multiplyTransposed(matrix, values, size);
    return performance.now() - begin;
  });
  const msPerProduct = Math.min(...times) / size ** 3;
  const weights = (part: Decoder["head"]): number =>
    weightsOf(part)
      .filter(({ linear }) => linear)
      .reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
  const perToken = decoder.blocks * weights(decoder.block(0)) + weights(decoder.head);
  const ms = 1000 * perToken * msPerProduct;
  return `the plain engine takes about ${formatDuration(ms)} for 1000 tokens of this model`;
}
