/** A session host in a worker thread: calls go over as messages, arrays are moved, not copied. */
import { Worker } from "node:worker_threads";
import { type ErrorRecord, SpInferError, toSpInferError } from "../../core/errors.ts";
import { loadLibrary } from "./library.ts";
import { createSessionHost, type HostTensor, type SessionHost } from "./sessionHost.ts";

/** Sources run as TypeScript (in tests) have no worker file that Node can load. */
const INLINE = import.meta.url.endsWith(".ts");

export type HostCall = {
  [Method in keyof SessionHost]: {
    readonly method: Method;
    readonly values: Parameters<SessionHost[Method]>;
  };
}[keyof SessionHost];

export type HostAnswer = { readonly result: unknown } | { readonly error: ErrorRecord };

/** Throws E_ENGINE_MISSING when the library cannot be loaded. */
export async function startHost(threads: number): Promise<SessionHost> {
  if (INLINE) return createSessionHost(await loadLibrary(), threads);
  const host = workerHost(threads);
  try {
    await host.addWeights([]); // the first call loads the library
  } catch (thrown) {
    await host.close();
    throw thrown;
  }
  return host;
}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: SpInferError) => void;
}

/** The buffers of tensors, each once. */
export function buffersOf(tensors: readonly HostTensor[]): ArrayBuffer[] {
  return [...new Set(tensors.map(({ values }) => values.buffer as ArrayBuffer))];
}

function workerHost(threads: number): SessionHost {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: { threads } });
  worker.unref(); // an engine that nobody closed must not keep the process alive
  const waiting: Waiting[] = [];
  let failure: SpInferError | undefined;
  const fail = (error: SpInferError): void => {
    failure ??= error;
    for (const { reject } of waiting.splice(0)) reject(failure);
  };
  worker.on("message", (answer: HostAnswer) => {
    const next = waiting.shift();
    if (waiting.length === 0) worker.unref();
    if ("error" in answer) next?.reject(SpInferError.fromRecord(answer.error));
    else next?.resolve(answer.result as never);
  });
  worker.on("error", (error) => fail(toSpInferError(error)));
  worker.on("exit", (code) => {
    fail(new SpInferError("E_WORKER", `the engine's thread ended with code ${code}`));
  });
  const call = <Result>(message: HostCall, moved: ArrayBuffer[] = []): Promise<Result> => {
    if (failure !== undefined) return Promise.reject(failure);
    return new Promise<Result>((resolve, reject) => {
      waiting.push({ resolve: resolve as Waiting["resolve"], reject });
      worker.ref();
      worker.postMessage(message, moved);
    });
  };
  return {
    addSession: (model, constants) =>
      call({ method: "addSession", values: [model, constants] }, buffersOf(constants)),
    addWeights: (tensors) => call({ method: "addWeights", values: [tensors] }, buffersOf(tensors)),
    dropWeights: (weights) => call({ method: "dropWeights", values: [weights] }),
    run: (run) => call({ method: "run", values: [run] }, buffersOf(run.inputs)),
    async close() {
      failure ??= new SpInferError("E_INTERNAL", "the engine is closed");
      await worker.terminate();
    },
  };
}
