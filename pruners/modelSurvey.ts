/**
 * One magnitude threshold for many matrices, found without holding them: counts of the upper, then
 * of the lower half of the keys narrow it down to one key, and a last round counts that key in
 * each matrix, so that ties go in the order of the matrices and of the weights in them.
 */
import { SpInferError } from "../src/core/errors.ts";
import type { Survey, SurveyItem, SurveyState, WeightMatrix } from "./definePruner.ts";
import { dropCount } from "./pattern.ts";
import { findBin, keyMask, type SelectKernels, type Threshold } from "./select.ts";

type Round = "upper" | "lower" | "ties";

interface Settled {
  readonly round: Round;
  /** Weights to drop in all. */
  readonly drop: number;
  /** Upper bits found in the first round; keys are (upper << shift) + lower. */
  readonly upper: number;
  readonly shift: number;
  /** Dropped by what is already settled. */
  readonly below: number;
  /** The threshold, in the last round. */
  readonly key: number;
}

interface State extends SurveyState, Settled {
  readonly sums: Float64Array;
  readonly ties: [string, number][];
}

export function modelSurvey(sparsity: number): Survey {
  return {
    start(items) {
      const shift = sharedDtype(items) === "F32" ? 16 : 0;
      const count = items.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
      const drop = dropCount(count, sparsity);
      return round({ round: "upper", drop, upper: 0, shift, below: 0, key: 0 }, 32_768);
    },
    gather: (weight, state, { kernels }) => gather(weight, state as State, kernels),
    add(state, name, counts) {
      const { round, sums, ties } = state as State;
      if (round === "ties") ties.push([name, counts[0]!]);
      else for (let i = 0; i < sums.length; i++) sums[i]! += counts[i]!;
    },
    next: (state) => advance(state as State),
  };
}

function round(fields: Settled, bins: number): State {
  return { ...fields, sums: new Float64Array(bins), ties: [] };
}

function sharedDtype(items: readonly SurveyItem[]): string {
  const dtypes = new Set(items.map(({ dtype }) => dtype));
  if (dtypes.size > 1) {
    throw new SpInferError("E_DTYPE_UNSUPPORTED", "scope model compares weights of one dtype", {
      found: [...dtypes].join(" and "),
      hint: "choose one with --dtype, or use --scope matrix",
    });
  }
  return items[0]?.dtype ?? "F16";
}

function gather({ bits }: WeightMatrix, state: State, kernels: SelectKernels): Float64Array {
  if (state.round === "upper" && bits instanceof Uint16Array)
    return Float64Array.from(kernels.histogram(bits));
  const mask = keyMask(bits);
  const { shift } = state;
  if (state.round === "upper") {
    const counts = new Float64Array(32_768);
    for (let i = 0; i < bits.length; i++) counts[(bits[i]! & mask) >>> shift]!++;
    return counts;
  }
  if (state.round === "lower") {
    const counts = new Float64Array(65_536);
    for (let i = 0; i < bits.length; i++) {
      const key = bits[i]! & mask;
      if (key >>> shift === state.upper) counts[key & 0xffff]!++;
    }
    return counts;
  }
  let equal = 0;
  for (let i = 0; i < bits.length; i++) equal += (bits[i]! & mask) === state.key ? 1 : 0;
  return Float64Array.of(equal);
}

function advance(state: State): { round: State } | { decisions: Map<string, Threshold> } {
  if (state.round === "ties") return { decisions: decide(state) };
  const { bin, below } = findBin(state.sums, state.drop - state.below);
  const settled = { ...state, below: state.below + below };
  if (state.round === "upper" && state.shift > 0) {
    return { round: round({ ...settled, round: "lower", upper: bin }, 65_536) };
  }
  const key = state.round === "lower" ? state.upper * 65_536 + bin : bin;
  return { round: round({ ...settled, round: "ties", key }, 0) };
}

function decide({ key, drop, below, ties }: State): Map<string, Threshold> {
  const decisions = new Map<string, Threshold>();
  let left = drop - below;
  for (const [name, count] of ties) {
    const here = Math.min(left, count);
    decisions.set(name, { key, ties: here });
    left -= here;
  }
  return decisions;
}
