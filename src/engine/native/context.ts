/**
 * The library's threads and the weights that they read. Calls of one context must not overlap. Long
 * ones run in a thread of koffi's, so that the event loop goes on; short ones in this thread, since
 * the way to another and back takes as long as many of them.
 */
import { SpInferError } from "../../core/errors.ts";
import type { AttentionSpec, LinearSpec } from "../../model/architectures/ops.ts";
import type { DenseTensor, HalfTensor, InstructionSet } from "../engine.ts";
import type { SharedLibrary } from "../sharedLibrary.ts";
import {
  ATTENTION_SPEC,
  type FunctionName,
  LAYOUTS,
  type OperationName,
  STATUS,
  TYPES,
} from "./declarations.ts";

/** A weight that was packed; its address. */
export type PackedWeight = bigint;

type NativeValue = number | bigint | null | NodeJS.TypedArray;

/** Multiply-adds that take about as long as reading and writing one value. */
export const VALUE = 256;

/** Multiply-adds of a call that is short: ten milliseconds with tiles, a third of a second at worst. */
const SHORT = 2 ** 32;
/** Milliseconds after which the event loop gets a turn between short calls. */
const TURN = 30;

/** What may be called while nobody else calls. */
export interface CpuCalls {
  /** work: how long the call takes about, in multiply-adds. */
  call(name: OperationName, work: number, ...values: readonly NativeValue[]): Promise<void>;
  packWeight(weight: DenseTensor | HalfTensor, spec: LinearSpec): Promise<PackedWeight>;
  dropWeight(weight: PackedWeight): void;
  attentionSpec(spec: AttentionSpec, tokens: number, length: number): Uint8Array;
}

type CallName = OperationName | "spinfer_cpu_pack_weight";

export class CpuContext {
  readonly instructions: InstructionSet;
  private readonly calls: CpuCalls;
  private readonly release: () => void;
  private last: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(library: SharedLibrary<FunctionName>, address: bigint, instructions: InstructionSet) {
    this.instructions = instructions;
    const weights = new Set<PackedWeight>();
    this.calls = cpuCalls(library, address, weights);
    this.release = () => {
      for (const weight of weights) this.calls.dropWeight(weight);
      library.functions.spinfer_cpu_close(address);
    };
  }

  /** Does work in its turn: after what was asked for before, with nobody else's calls between. */
  exclusive<Result>(work: (cpu: CpuCalls) => Promise<Result>): Promise<Result> {
    if (this.closed) return Promise.reject(new SpInferError("E_INTERNAL", "the engine is closed"));
    const result = this.last.then(() => work(this.calls));
    this.last = result.catch(() => undefined); // whoever asked for it is told
    return result;
  }

  /** After `close` nothing more is asked of it, and no weight is left. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Drops all weights and ends the threads, after what was asked for before. */
  async close(): Promise<void> {
    if (!this.closed) this.last = this.last.then(() => this.release());
    this.closed = true;
    await this.last;
  }
}

function cpuCalls(
  { koffi, functions }: SharedLibrary<FunctionName>,
  address: bigint,
  weights: Set<PackedWeight>,
): CpuCalls {
  const specType = koffi.struct(ATTENTION_SPEC);
  // in flight: koffi hands over addresses, and what nothing refers to may be collected
  const held = new Set<readonly unknown[]>();
  const callLong = async (name: CallName, values: readonly unknown[]): Promise<number> => {
    held.add(values);
    try {
      return await new Promise((resolve, reject) => {
        functions[name].async(address, ...values, (error: unknown, result: number) =>
          error ? reject(error) : resolve(result),
        );
      });
    } finally {
      held.delete(values);
    }
  };
  let turn = performance.now();
  const callShort = async (name: CallName, values: readonly unknown[]): Promise<number> => {
    if (performance.now() - turn > TURN) {
      await new Promise((resolve) => setImmediate(resolve));
      turn = performance.now();
    }
    return functions[name](address, ...values) as number;
  };
  const call = async (
    name: CallName,
    work: number,
    ...values: readonly NativeValue[]
  ): Promise<void> => {
    const status = await (work > SHORT ? callLong(name, values) : callShort(name, values));
    if (status !== STATUS.ok) throw refusal(name, status, values);
  };
  return {
    call,
    async packWeight(weight, { outputs, inputs, layout = "out-in" }) {
      const out = new BigUint64Array(1);
      const isHalf = "halves" in weight;
      const values = isHalf ? weight.halves : weight.values;
      const form = [TYPES[isHalf ? weight.dtype : "F32"], outputs, inputs, LAYOUTS[layout]];
      await call("spinfer_cpu_pack_weight", 2 * VALUE * values.length, values, ...form, out);
      weights.add(out[0]!);
      return out[0]!;
    },
    dropWeight(weight) {
      if (weights.delete(weight)) functions.spinfer_cpu_drop_weight(weight);
    },
    attentionSpec({ heads, keyHeads, headSize, scale, window = 0, softcap = 0 }, tokens, length) {
      const bytes = Buffer.alloc(koffi.sizeof(specType));
      const sizes = { heads, key_heads: keyHeads, head_size: headSize };
      koffi.encode(bytes, specType, { tokens, length, ...sizes, window, scale, softcap });
      return bytes;
    },
  };
}

function refusal(name: string, status: number, values: readonly unknown[]): SpInferError {
  const shown = values.map((value) => (ArrayBuffer.isView(value) ? sizeOf(value) : String(value)));
  const call = `${name}(${shown.join(", ")})`;
  if (status === STATUS.memory) {
    return new SpInferError("E_MEMORY", `not enough memory to run a block: ${call}`, {
      hint: "use shorter windows, or a machine with more memory",
    });
  }
  return new SpInferError("E_INTERNAL", `${call} returned ${status}`);
}

const sizeOf = (values: ArrayBufferView): string => `${values.byteLength} bytes`;
