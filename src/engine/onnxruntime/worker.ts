/** The engine's thread: one call after the other, in the order in which they came. */
import { parentPort, workerData } from "node:worker_threads";
import { toSpInferError } from "../../core/errors.ts";
import { loadLibrary } from "./library.ts";
import { createSessionHost, type HostTensor, type SessionHost } from "./sessionHost.ts";
import { buffersOf, type HostAnswer, type HostCall } from "./workerHost.ts";

const { threads } = workerData as { readonly threads: number };
let host: SessionHost | undefined;
let last: Promise<void> = Promise.resolve();

parentPort?.on("message", (call: HostCall) => {
  last = last.then(() => answer(call));
});

async function answer({ method, values }: HostCall): Promise<void> {
  try {
    host ??= createSessionHost(await loadLibrary(), threads);
    const result = await (host[method] as (...given: unknown[]) => Promise<unknown>)(...values);
    const moved = method === "run" ? buffersOf(result as HostTensor[]) : [];
    parentPort?.postMessage({ result } satisfies HostAnswer, moved);
  } catch (thrown) {
    parentPort?.postMessage({ error: toSpInferError(thrown).toRecord() } satisfies HostAnswer);
  }
}
