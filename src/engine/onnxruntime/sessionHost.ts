/**
 * Sessions of the library, the weights they are fed with, and their runs, in the thread that this
 * is made in: a worker, because a run blocks its thread.
 */
import { SpInferError } from "../../core/errors.ts";
import type { Library } from "./library.ts";

export type HostValues = Float32Array | BigInt64Array;

export interface HostTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: HostValues;
}

export interface HostRun {
  readonly session: number;
  /** Weights that were added before; none for −1. */
  readonly weights: number;
  readonly inputs: readonly HostTensor[];
  /** Made by the caller's side: name, shape and type of what comes out. */
  readonly outputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly type: "float32" | "int64";
  }[];
}

/** All arrays that are given belong to the host from then on. */
export interface SessionHost {
  addSession(model: Uint8Array, constants: readonly HostTensor[]): Promise<number>;
  addWeights(tensors: readonly HostTensor[]): Promise<number>;
  dropWeights(weights: number): Promise<void>;
  run(run: HostRun): Promise<HostTensor[]>;
  close(): Promise<void>;
}

interface Session {
  readonly session: Library.InferenceSession;
  readonly constants: readonly HostTensor[];
}

export function createSessionHost(library: typeof Library, threads: number): SessionHost {
  const sessions: Session[] = [];
  const weightSets = new Map<number, readonly HostTensor[]>();
  let nextWeights = 0;
  const tensorOf = ({ shape, values }: HostTensor): Library.Tensor =>
    values instanceof Float32Array
      ? new library.Tensor("float32", values, shape)
      : new library.Tensor("int64", values, shape);
  return {
    async addSession(model, constants) {
      const session = await library.InferenceSession.create(model, {
        executionProviders: ["cpu"],
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: "all",
        // errors are thrown; what the library writes besides belongs on nobody's terminal
        logSeverityLevel: 4,
      });
      return sessions.push({ session, constants }) - 1;
    },
    async addWeights(tensors) {
      weightSets.set(nextWeights, tensors);
      return nextWeights++;
    },
    async dropWeights(weights) {
      weightSets.delete(weights);
    },
    async run({ session: id, weights, inputs, outputs }) {
      const { session, constants } = sessions[id]!;
      const wanted = new Set(session.inputNames);
      const feeds: Record<string, Library.Tensor> = {};
      for (const tensor of [...constants, ...(weightSets.get(weights) ?? []), ...inputs]) {
        if (wanted.has(tensor.name)) feeds[tensor.name] = tensorOf(tensor);
      }
      const made = outputs.map(({ name, shape, type }): HostTensor => {
        const size = shape.reduce((product, dimension) => product * dimension, 1);
        const values = type === "float32" ? new Float32Array(size) : new BigInt64Array(size);
        return { name, shape, values };
      });
      const fetches = Object.fromEntries(made.map((tensor) => [tensor.name, tensorOf(tensor)]));
      try {
        await session.run(feeds, fetches);
      } catch (thrown) {
        throw runError(thrown);
      }
      return made;
    },
    async close() {
      weightSets.clear();
      await Promise.all(sessions.splice(0).map(({ session }) => session.release()));
    },
  };
}

function runError(thrown: unknown): unknown {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (!/bad_alloc|failed to allocate|out of memory/i.test(text)) return thrown;
  return new SpInferError("E_MEMORY", `not enough memory to run a block: ${text}`, {
    hint: "use shorter windows, or a machine with more memory",
    cause: thrown,
  });
}
