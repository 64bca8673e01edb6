/**
 * Worker threads that take tasks one by one. A thread that ends on its own is an error; cancelling
 * ends all threads at once, in the middle of what they do.
 */
import { Worker } from "node:worker_threads";
import { type ErrorRecord, SpInferError, toSpInferError } from "../../core/errors.ts";
import { runTask, type Task, type TaskResults } from "./tasks.ts";

/** Sources run as TypeScript (in tests) have no worker file that Node can load. */
const INLINE = import.meta.url.endsWith(".ts");

interface Waiting {
  readonly task: Task;
  readonly resolve: (result: never) => void;
  readonly reject: (error: SpInferError) => void;
}

type Answer =
  | { readonly result: unknown }
  | { readonly error: ErrorRecord; readonly stack?: string };

export interface Pool {
  readonly threads: number;
  run<Kind extends Task["kind"]>(task: Task & { readonly kind: Kind }): Promise<TaskResults[Kind]>;
  close(): Promise<void>;
}

/** `threads` 0 runs tasks in the calling thread. */
export function createPool(threads: number, signal?: AbortSignal): Pool {
  return threads === 0 || INLINE ? inlinePool(signal) : new WorkerPool(threads, signal);
}

export function cancelled(signal: AbortSignal): SpInferError {
  return signal.reason instanceof SpInferError
    ? signal.reason
    : new SpInferError("E_CANCELLED", "the run was cancelled", {
        hint: "go on with the same command and --resume",
      });
}

function inlinePool(signal?: AbortSignal): Pool {
  return {
    threads: 1,
    async run(task) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw cancelled(signal);
      return runTask(task) as never;
    },
    close: async () => undefined,
  };
}

class WorkerPool implements Pool {
  readonly threads: number;
  private readonly workers: Worker[] = [];
  private readonly idle: Worker[] = [];
  private readonly queue: Waiting[] = [];
  private readonly busy = new Map<Worker, Waiting>();
  private failure: SpInferError | undefined;
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort = (): void => this.fail(cancelled(this.signal!));

  constructor(threads: number, signal?: AbortSignal) {
    this.threads = threads;
    this.signal = signal;
    signal?.addEventListener("abort", this.onAbort, { once: true });
    if (signal?.aborted) this.failure = cancelled(signal);
  }

  run<Kind extends Task["kind"]>(task: Task & { readonly kind: Kind }): Promise<TaskResults[Kind]> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise<TaskResults[Kind]>((resolve, reject) => {
      this.queue.push({ task, resolve, reject });
      this.feed();
    });
  }

  async close(): Promise<void> {
    this.signal?.removeEventListener("abort", this.onAbort);
    this.failure ??= new SpInferError("E_INTERNAL", "the pool is closed");
    await Promise.all(this.workers.splice(0).map((worker) => worker.terminate()));
  }

  private feed(): void {
    while (this.queue.length > 0) {
      if (this.idle.length === 0 && this.workers.length < this.threads) this.start();
      const worker = this.idle.pop();
      if (worker === undefined) return;
      const waiting = this.queue.shift()!;
      this.busy.set(worker, waiting);
      worker.postMessage(waiting.task);
    }
  }

  private start(): void {
    const worker = new Worker(new URL("./worker.js", import.meta.url));
    this.workers.push(worker);
    this.idle.push(worker);
    worker.on("message", (answer: Answer) => this.take(worker, answer));
    worker.on("error", (error) => this.fail(toSpInferError(error)));
    worker.on("exit", (code) => {
      if (this.failure === undefined) {
        this.fail(new SpInferError("E_WORKER", `a worker thread ended with code ${code}`));
      }
    });
  }

  private take(worker: Worker, answer: Answer): void {
    const waiting = this.busy.get(worker);
    this.busy.delete(worker);
    this.idle.push(worker);
    if ("error" in answer) {
      const error = SpInferError.fromRecord(answer.error);
      if (answer.stack !== undefined) error.stack = answer.stack;
      waiting?.reject(error);
    } else waiting?.resolve(answer.result as never);
    this.feed();
  }

  private fail(error: SpInferError): void {
    this.failure ??= error;
    const open = [...this.busy.values(), ...this.queue.splice(0)];
    this.busy.clear();
    for (const { reject } of open) reject(this.failure);
    void Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}
