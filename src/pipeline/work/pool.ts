/**
 * Worker threads that take tasks one by one. A thread that ends on its own is an error; cancelling
 * ends all threads at once, in the middle of what they do.
 */
import { Worker } from "node:worker_threads";
import { type ErrorRecord, SpInferError, toSpInferError } from "../../core/errors.ts";
import { BufferStore } from "./buffers.ts";
import { runTask, type Task, type TaskResults, workspaceBytes } from "./tasks.ts";

/** Sources run as TypeScript (in tests) have no worker file that Node can load. */
const INLINE = import.meta.url.endsWith(".ts");

interface Waiting {
  readonly task: Task;
  readonly resolve: (result: never) => void;
  readonly reject: (error: SpInferError) => void;
}

/** What a worker thread is sent: a task, and a buffer to work in when one is free. */
export interface Assignment {
  readonly task: Task;
  readonly buffer?: ArrayBuffer | undefined;
}

type Answer =
  | { readonly result: unknown; readonly idle?: ArrayBuffer }
  | { readonly error: ErrorRecord; readonly stack?: string };

export interface Pool {
  readonly threads: number;
  run<Kind extends Task["kind"]>(task: Task & { readonly kind: Kind }): Promise<TaskResults[Kind]>;
  /** Takes a buffer of a result that is not needed any more, for tasks to come. */
  recycle(buffer: ArrayBuffer): void;
  close(): Promise<void>;
}

export interface PoolOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of buffers that are kept for reuse, with those in use. */
  readonly bufferBytes?: number;
}

const BUFFER_BYTES = 512 * 1024 * 1024;

/** `threads` 0 runs tasks in the calling thread. */
export function createPool(threads: number, options: PoolOptions = {}): Pool {
  return threads === 0 || INLINE ? inlinePool(options.signal) : new WorkerPool(threads, options);
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
    recycle: () => undefined,
    close: async () => undefined,
  };
}

class WorkerPool implements Pool {
  readonly threads: number;
  private readonly workers: Worker[] = [];
  private readonly idle: Worker[] = [];
  private readonly queue: Waiting[] = [];
  private readonly busy = new Map<Worker, Waiting>();
  private readonly buffers: BufferStore;
  private failure: SpInferError | undefined;
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort = (): void => this.fail(cancelled(this.signal!));

  constructor(threads: number, { signal, bufferBytes = BUFFER_BYTES }: PoolOptions) {
    this.threads = threads;
    this.buffers = new BufferStore(bufferBytes);
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

  recycle(buffer: ArrayBuffer): void {
    this.buffers.giveBack(buffer);
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
      const bytes = workspaceBytes(waiting.task);
      const buffer = bytes === 0 ? undefined : this.buffers.lend(bytes);
      const assignment: Assignment = { task: waiting.task, buffer };
      worker.postMessage(assignment, buffer === undefined ? [] : [buffer]);
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
    } else {
      if (answer.idle !== undefined) this.buffers.giveBack(answer.idle);
      waiting?.resolve(answer.result as never);
    }
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
