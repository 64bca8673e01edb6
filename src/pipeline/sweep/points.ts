/** The points of a sweep: every method at every sparsity and N:M pattern. */
import { SpInferError } from "../../core/errors.ts";
import {
  defaultRecipe,
  patternSparsity,
  type Recipe,
  type RecipeFlags,
  resolveRecipe,
} from "../recipe/index.ts";

/** After a method's name: its sparsity is shared out over blocks by their outliers. */
const OWL = "+owl";
const STEP = 0.1;
const MOST_POINTS = 500;

export interface SweepPoint {
  /** wanda-0.6, wanda+owl-2:4: tells points of a sweep apart. */
  readonly name: string;
  /** As it was written: wanda, wanda+owl. */
  readonly label: string;
  readonly method: string;
  readonly allocation: "uniform" | "owl";
  readonly pattern: string;
  readonly sparsity: number;
}

/**
 * Numbers, ranges with both ends in it, and ranges with a step: "0.5,0.6", "0.3..0.7",
 * "0.3..0.7..0.05". Throws E_OPTION.
 */
export function parseSparsities(text: string): readonly number[] {
  const values = text.split(",").flatMap((word) => {
    const [first, last, step = STEP, ...more] = word.trim().split("..").map(numberOf);
    if (first === undefined || more.length > 0) throw badSparsity(text);
    if (last === undefined) return [first];
    const count = Math.floor((last - first) / step + 1e-9);
    if (!(last >= first && step >= 0.001)) throw badSparsity(text); // not so for NaN either
    return Array.from({ length: count + 1 }, (_, i) => Number((first + i * step).toFixed(6)));
  });
  if (!values.every((value) => value >= 0 && value < 1)) throw badSparsity(text);
  return [...new Set(values)].sort((a, b) => a - b);
}

function numberOf(word: string): number {
  return /^(?:\d+\.?\d{0,6}|\.\d{1,6})$/.test(word) ? Number(word) : Number.NaN;
}

function badSparsity(text: string): SpInferError {
  return new SpInferError("E_OPTION", `--sparsity: ${JSON.stringify(text)} is not accepted`, {
    expected: "numbers 0 ≤ s < 1, ranges FIRST..LAST or FIRST..LAST..STEP, separated by commas",
  });
}

/** Throws E_OPTION for a pattern that is none, for a point that is there twice, and for too many. */
export function makePoints(
  methods: readonly string[],
  sparsities: readonly number[],
  patterns: readonly string[],
): readonly SweepPoint[] {
  const amounts = [
    ...sparsities.map((sparsity) => ({ pattern: "unstructured", sparsity })),
    ...patterns.map((pattern) => ({ pattern, sparsity: sparsityOf(pattern) })),
  ];
  const points = methods.flatMap((label) =>
    amounts.map(({ pattern, sparsity }): SweepPoint => {
      const owl = label.endsWith(OWL);
      return {
        name: `${label}-${pattern === "unstructured" ? sparsity : pattern}`,
        label,
        method: owl ? label.slice(0, -OWL.length) : label,
        allocation: owl ? "owl" : "uniform",
        pattern,
        sparsity,
      };
    }),
  );
  const repeated = points.find(({ name }, i) => points.findIndex((p) => p.name === name) !== i);
  if (repeated !== undefined) {
    throw new SpInferError("E_OPTION", `${repeated.name} is there twice`);
  }
  if (points.length > MOST_POINTS) {
    throw new SpInferError("E_OPTION", `the sweep has ${points.length} points`, {
      expected: `at most ${MOST_POINTS}`,
    });
  }
  return points;
}

function sparsityOf(pattern: string): number {
  const sparsity = patternSparsity(pattern);
  if (sparsity !== undefined) return sparsity;
  throw new SpInferError("E_OPTION", `--pattern: ${JSON.stringify(pattern)} is not accepted`, {
    expected: "N:M with 1 ≤ N < M ≤ 32, separated by commas",
  });
}

export interface SharedSettings {
  readonly targets?: readonly string[] | undefined;
  readonly ignore?: readonly string[] | undefined;
  /** Absent: no text to calibrate on. */
  readonly calibration?:
    | Pick<RecipeFlags, "calib" | "field" | "nsamples" | "seqlen" | "windows" | "seed">
    | undefined;
}

/** The recipe of a point. Throws what resolving throws. */
export function recipeOf(point: SweepPoint, shared: SharedSettings): Recipe {
  const { method, allocation, pattern, sparsity } = point;
  const { recipe } = resolveRecipe(defaultRecipe("prune"), {
    method,
    ...(pattern === "unstructured" ? { sparsity } : { pattern }),
    ...(allocation === "owl" ? { allocation } : {}),
    targets: shared.targets,
    ignore: shared.ignore,
    ...(shared.calibration === undefined ? {} : { ...shared.calibration, mode: "one-pass" }),
  });
  return recipe;
}
