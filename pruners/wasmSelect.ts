/**
 * Selection kernels on wasm/select.wasm for 16-bit weights; 32-bit ones take the plain twin.
 * Memory: a few rows, or BATCH weights.
 */
import { createArena } from "../src/core/wasmMemory.ts";
import { findBin, plainSelect, type SelectKernels, type Threshold } from "./select.ts";

/** Weights worked on in one call. */
const BATCH = 1 << 19;
const KEYS = 32_768;

export function createWasmSelect(module: Uint8Array): SelectKernels {
  const arena = createArena(module);

  function dropBelow(bits: Uint16Array, { key, ties }: Threshold): number {
    const at = arena.reserve(BATCH * 2);
    let left = ties;
    for (let begin = 0; begin < bits.length; begin += BATCH) {
      const part = bits.subarray(begin, begin + BATCH);
      const view = arena.halves(at, part.length);
      view.set(part);
      left = arena.call("drop_below", at, part.length, key, left);
      part.set(view);
    }
    return left;
  }

  function histogram(bits: Uint16Array): Uint32Array {
    const at = arena.reserve(KEYS * 4 + BATCH * 2);
    const counts = arena.words(at, KEYS);
    counts.fill(0);
    const valuesAt = at + KEYS * 4;
    for (let begin = 0; begin < bits.length; begin += BATCH) {
      const part = bits.subarray(begin, begin + BATCH);
      arena.halves(valuesAt, part.length).set(part);
      arena.call("histogram", valuesAt, part.length, at);
    }
    return counts.slice();
  }

  /** Runs `work` on as many whole rows at once as fit a batch. */
  function byRows(
    bits: Uint16Array,
    rows: number,
    cols: number,
    work: (at: number, rows: number) => void,
  ): void {
    const atOnce = Math.max(1, Math.floor(BATCH / cols));
    const at = arena.reserve(atOnce * cols * 2);
    for (let row = 0; row < rows; row += atOnce) {
      const count = Math.min(atOnce, rows - row);
      const part = bits.subarray(row * cols, (row + count) * cols);
      const view = arena.halves(at, part.length);
      view.set(part);
      work(at, count);
      part.set(view);
    }
  }

  return {
    name: "wasm",
    dropLowestPerRow(bits, rows, cols, drop) {
      if (!(bits instanceof Uint16Array))
        return plainSelect.dropLowestPerRow(bits, rows, cols, drop);
      if (drop === 0) return;
      byRows(bits, rows, cols, (at, count) =>
        arena.call("drop_lowest_per_row", at, count, cols, drop),
      );
    },
    dropLowest(bits, drop) {
      if (!(bits instanceof Uint16Array)) return plainSelect.dropLowest(bits, drop);
      if (drop === 0) return;
      const { bin, below } = findBin(histogram(bits), drop);
      dropBelow(bits, { key: bin, ties: drop - below });
    },
    dropBelow: (bits, threshold) =>
      bits instanceof Uint16Array
        ? dropBelow(bits, threshold)
        : plainSelect.dropBelow(bits, threshold),
    histogram,
    keepNOfM(bits, rows, cols, n, m) {
      if (!(bits instanceof Uint16Array)) return plainSelect.keepNOfM(bits, rows, cols, n, m);
      byRows(bits, rows, cols, (at, count) => arena.call("keep_n_of_m", at, count, cols, n, m));
    },
    countNonfinite(bits, infinity) {
      if (!(bits instanceof Uint16Array)) return plainSelect.countNonfinite(bits, infinity);
      const at = arena.reserve(BATCH * 2);
      let count = 0;
      for (let begin = 0; begin < bits.length; begin += BATCH) {
        const part = bits.subarray(begin, begin + BATCH);
        arena.halves(at, part.length).set(part);
        count += arena.call("count_nonfinite", at, part.length, infinity);
      }
      return count;
    },
  };
}
