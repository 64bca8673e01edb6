/** Widening on wasm/half.wasm. Memory: one piece of each array. */
import type { HalfDtype } from "./dtype.ts";
import { createArena } from "./wasmMemory.ts";

/** As `widenHalves` of ./half.ts. */
export type Widen = (source: Uint16Array, dtype: HalfDtype, target: Float32Array) => void;

/** Values that are widened in one call: what is read and written stays in the cache. */
const TOGETHER = 1 << 14;

export function createWasmWiden(module: Uint8Array): Widen {
  const arena = createArena(module);
  return (source, dtype, target) => {
    const at = arena.reserve(2 * TOGETHER + 4 * TOGETHER);
    const [halves, words] = [arena.halves(at, TOGETHER), arena.words(at + 2 * TOGETHER, TOGETHER)];
    const bits = new Uint32Array(target.buffer, target.byteOffset, target.length); // keeps NaNs
    const name = dtype === "F16" ? "widen_fp16" : "widen_bf16";
    for (let begin = 0; begin < source.length; begin += TOGETHER) {
      const part = source.subarray(begin, begin + TOGETHER);
      halves.set(part);
      arena.call(name, at + 2 * TOGETHER, at, Math.ceil(part.length / 8) * 8);
      bits.set(words.subarray(0, part.length), begin);
    }
  };
}
