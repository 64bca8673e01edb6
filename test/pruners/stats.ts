/** Statistics of random inputs, for tests of pruners. */
import type { ActivationStats, StatName } from "../../pruners/definePruner.ts";
import { createRandom } from "../helpers/random.ts";

/** What calibration gathers of inputs [tokens, cols]. */
export function statsOf(
  inputs: Float64Array,
  cols: number,
  samples: number,
  names: readonly StatName[] = ["inputNorms", "inputSums", "gram"],
): ActivationStats {
  const tokens = inputs.length / cols;
  const [squares, sums] = [new Float64Array(cols), new Float64Array(cols)];
  inputs.forEach((value, i) => {
    squares[i % cols]! += value * value;
    sums[i % cols]! += value;
  });
  return {
    tokens,
    samples,
    ...(names.includes("inputNorms") ? { inputNorms: squares.map(Math.sqrt) } : {}),
    ...(names.includes("inputSums") ? { inputSums: sums } : {}),
    ...(names.includes("gram") ? { gram: gramOf(inputs, cols) } : {}),
  };
}

function gramOf(inputs: Float64Array, cols: number): Float64Array {
  const gram = new Float64Array(cols * cols);
  for (let at = 0; at < inputs.length; at += cols) {
    for (let i = 0; i < cols; i++) {
      const value = inputs[at + i]!;
      if (value === 0) continue;
      for (let j = 0; j < cols; j++) gram[i * cols + j]! += value * inputs[at + j]!;
    }
  }
  return gram;
}

/** Inputs as a model gives them: columns of different size, some shifted, a few always zero. */
export function randomInputs(seed: number, tokens: number, cols: number): Float64Array {
  const random = createRandom(seed);
  const columns = Array.from({ length: cols }, () => ({
    size: random.chance(0.03) ? 0 : 0.05 + 4 * random.next() ** 6,
    shift: random.next() - 0.5,
  }));
  const inputs = new Float64Array(tokens * cols);
  for (let t = 0; t < tokens; t++) {
    const common = random.next() - 0.5;
    for (let j = 0; j < cols; j++) {
      const { size, shift } = columns[j]!;
      const bell = random.next() + random.next() + random.next() - 1.5;
      // float32, as activations are
      inputs[t * cols + j] = Math.fround(size * (bell + shift + 0.5 * common));
    }
  }
  return inputs;
}

const TOKENS = 40;
const cache = new Map<string, ActivationStats>();

/** The same for the same number of columns. */
export function randomStats(cols: number, needs: readonly StatName[]): ActivationStats {
  if (needs.length === 0) return {};
  const key = `${cols} ${needs.join()}`;
  const stats = cache.get(key) ?? statsOf(randomInputs(cols, TOKENS, cols), cols, 4, needs);
  cache.set(key, stats);
  return stats;
}
