/**
 * The GPU in a process of its own. CUDA errors are sticky: after a fault a process can only end,
 * so what works on the GPU is a child, and its end is an error of its request here.
 */
import { type ChildProcess, fork } from "node:child_process";
import type { ErrorCode } from "../../core/errorCodes.ts";
import { SpInferError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { findLibrary } from "../../io/nativeLibrary.ts";
import { packagePath } from "../../io/packageFile.ts";
import { type Answered, type Asked, type RequestKind, type Requests, STATUS } from "./requests.ts";

export interface GpuProcessOptions {
  /** The program; a test may name its own. */
  readonly program?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** How long a request may take. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As built: Node cannot fork TypeScript. */
const PROGRAM = "dist/src/engine/cuda/process.js";
const TIMEOUT_MS = 300_000;
/** Last words of the process that an error carries. */
const STDERR_CHARACTERS = 2000;
/** A request in an error: enough to say which kernel and shape. */
const REQUEST_CHARACTERS = 400;

const CODES: Readonly<Record<number, ErrorCode>> = {
  [STATUS.badMatrix]: "E_TB_LAYOUT",
  [STATUS.unsupported]: "E_GPU_UNSUPPORTED",
  [STATUS.cuda]: "E_GPU_FAULT",
  [STATUS.memory]: "E_GPU_MEMORY",
  [STATUS.wrong]: "E_GPU_WRONG",
  [STATUS.missing]: "E_GPU_BASELINE",
  [STATUS.noGpu]: "E_GPU_NONE",
};

const HINTS: Partial<Record<ErrorCode, string>> = {
  E_GPU_NONE: "spinfer doctor shows what is there; nvidia-smi, whether the driver works",
  E_GPU_BASELINE: "SPINFER_CUDA_LIBRARIES may name the folders of CUDA's libraries",
  E_GPU_MEMORY: "nvidia-smi shows who uses the GPU; smaller shapes need less",
  E_GPU_FAULT: "run the same command again; if it fails again, report it",
};

interface Pending {
  readonly asked: Asked;
  readonly resolve: (answer: never) => void;
  readonly reject: (error: SpInferError) => void;
  readonly timer: NodeJS.Timeout;
}

export class GpuProcess {
  private readonly child: ChildProcess;
  private readonly timeoutMs: number;
  private readonly pending = new Map<number, Pending>();
  private next = 1;
  private stderr = "";
  /** Why no more requests can be answered. */
  private ended: SpInferError | undefined;
  private readonly exited: Promise<void>;
  private readonly stopListening: () => void;

  /** Throws E_GPU_LIBRARY when there is no library. The process starts at once, the GPU later. */
  constructor(options: GpuProcessOptions = {}) {
    const env = options.env ?? process.env;
    const { path, tried } = findLibrary("libspinfer.so", env);
    if (path === undefined) throw noLibrary(tried);
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.child = fork(options.program ?? packagePath(PROGRAM), [path], {
      env: { ...env },
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-STDERR_CHARACTERS);
    });
    this.child.on("message", (message) => this.take(message as Answered));
    const { stderr } = this.child;
    const lastWords = new Promise<void>((resolve) => {
      stderr?.on("close", resolve);
    });
    this.exited = new Promise((resolve) => {
      this.child.on("error", (cause) => {
        this.end(
          new SpInferError("E_GPU_FAULT", "the GPU process could not be started", { cause }),
        );
        if (this.child.pid === undefined) resolve();
      });
      // not "close": it does not come when the channel was closed from here
      this.child.on("exit", async (status, signal) => {
        await lastWords;
        this.end(this.died(signal === null ? `exit code ${status}` : `signal ${signal}`));
        resolve();
      });
    });
    const cancel = (): void => {
      this.end(
        options.signal?.reason instanceof SpInferError
          ? options.signal.reason
          : new SpInferError("E_CANCELLED", "the run was cancelled"),
      );
      this.child.kill("SIGKILL");
    };
    if (options.signal?.aborted === true) cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
    this.stopListening = () => options.signal?.removeEventListener("abort", cancel);
  }

  /**
   * Rejects with E_GPU_FAULT when CUDA reports an error, the process ends or does not answer in
   * time; after that every request is refused with the same error.
   */
  async ask<Kind extends RequestKind>(
    kind: Kind,
    ask: Requests[Kind]["ask"],
  ): Promise<Requests[Kind]["answer"]> {
    if (this.ended !== undefined) throw this.ended;
    const asked: Asked = { id: this.next++, kind, ask };
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.end(this.died(`no answer within ${this.timeoutMs / 1000} s`, asked));
        this.child.kill("SIGKILL");
      }, this.timeoutMs);
      this.pending.set(asked.id, { asked, resolve, reject, timer });
      this.child.send(asked, (error) => {
        if (error !== null) this.end(this.died("it takes no requests", asked));
      });
    });
  }

  /** Ends the process; what is under way is given up. */
  async close(): Promise<void> {
    this.end(new SpInferError("E_INTERNAL", "the GPU process was closed"));
    if (this.child.connected) this.child.disconnect();
    const patience = setTimeout(() => this.child.kill("SIGKILL"), 2000);
    await this.exited;
    clearTimeout(patience);
  }

  private take(answered: Answered): void {
    const waiting = this.pending.get(answered.id);
    if (waiting === undefined) return;
    this.pending.delete(answered.id);
    clearTimeout(waiting.timer);
    if ("answer" in answered) {
      waiting.resolve(answered.answer as never);
      return;
    }
    if ("error" in answered) {
      waiting.reject(SpInferError.fromRecord(answered.error));
      return;
    }
    if ("library" in answered) {
      const { path, message } = answered.library;
      waiting.reject(unloadable(path, message));
      return;
    }
    const { status, message } = answered.failure;
    const code = CODES[status] ?? "E_INTERNAL";
    const error = new SpInferError(code, message, {
      ...(code === "E_GPU_FAULT" ? { found: describe(waiting.asked) } : {}),
      hint: HINTS[code],
    });
    waiting.reject(error);
    if (code === "E_GPU_FAULT") {
      this.end(error);
      this.child.kill("SIGKILL");
    }
  }

  private died(how: string, asked?: Asked): SpInferError {
    const [first] = this.pending.values();
    const during = asked ?? first?.asked;
    const said = this.stderr
      .split("\n")
      .findLast((line) => !/^(?:\s*at |Node\.js |\s*$)/.test(line));
    const words = said === undefined ? "" : `: ${printable(said, 300)}`;
    return new SpInferError("E_GPU_FAULT", `the GPU process ended (${how})${words}`, {
      ...(during === undefined ? {} : { found: describe(during) }),
      hint: HINTS["E_GPU_FAULT"],
    });
  }

  private end(error: SpInferError): void {
    this.ended ??= error;
    this.stopListening?.();
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(this.ended);
    }
    this.pending.clear();
  }
}

/** A request as a person reads it in a report; long arrays are left out. */
function describe({ kind, ask }: Asked): string {
  const text = JSON.stringify(ask, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? `${value.byteLength} bytes` : value,
  );
  return `while it worked on ${kind} ${text.slice(0, REQUEST_CHARACTERS)}`;
}

function noLibrary(tried: readonly string[]): SpInferError {
  return new SpInferError(
    "E_GPU_LIBRARY",
    `there is no CUDA library for ${process.platform}-${process.arch}`,
    {
      found: `nothing at ${tried.join(", ")}`,
      expected: "libspinfer.so, for Linux on x64",
      hint: "in a clone: npm run build:kernels; or name the file in SPINFER_LIBRARY",
    },
  );
}

function unloadable(path: string, message: string): SpInferError {
  return new SpInferError("E_GPU_LIBRARY", `${path}: ${message}`, {
    path,
    hint: "in a clone: npm run build:kernels; or name another file in SPINFER_LIBRARY",
  });
}
