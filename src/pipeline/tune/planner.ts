/**
 * For each matrix: kept sparse or dense on the device (never both), and which kernel for which
 * number of tokens. From what `spinfer tune` measured on this GPU; where it did not, from our own
 * measurements on an H100.
 */
import type { Geometry, HalfName } from "../../engine/cuda/index.ts";
import { sparsityBucket, type TuneEntry } from "./cache.ts";
import { MEASURED_ON_H100, type MeasuredShape } from "./measuredOnH100.ts";

export interface PlannedMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfName;
  readonly sparsity: number;
}

export interface TokenChoice {
  readonly tokens: number;
  /** Dense over sparse time with the chosen kernel: expected, or measured. */
  readonly ratio: number;
  readonly overlapRatio: number;
  /** "built-in": the library's own choice. */
  readonly geometry: Geometry | "built-in";
  readonly overlapGeometry: Geometry | "built-in";
  /** "estimated": from measurements of other shapes on an H100. */
  readonly from: ChoiceOrigin;
}

export const CHOICE_ORIGINS = ["measured here", "measured on an H100", "estimated"] as const;
export type ChoiceOrigin = (typeof CHOICE_ORIGINS)[number];

export interface MatrixPlan {
  readonly storage: "sparse" | "dense";
  /** Geometric mean of the ratios over the asked numbers of tokens. */
  readonly ratio: number;
  readonly choices: readonly TokenChoice[];
}

/** Weights below which the start of a kernel is all of its time, and no ratio is known. */
const LEAST_WEIGHTS = 1 << 20;

/** Dense over sparse time for more tokens than the table has: 128 and more take two to four times. */
const BEYOND_TABLE = 0.5;

/** Sparse must win by so much to be chosen: below it lies the noise of a measurement. */
const LEAST_GAIN = 1.02;

/** `measured`: entries of the GPU that the model is to run on. tokens: not empty. */
export function planMatrix(
  matrix: PlannedMatrix,
  tokens: readonly number[],
  measured: readonly TuneEntry[],
): MatrixPlan {
  const choices = tokens.map(
    (n) => measuredChoice(matrix, n, measured) ?? builtInChoice(matrix, n),
  );
  const ratio = Math.exp(
    choices.reduce((sum, choice) => sum + Math.log(choice.ratio), 0) / choices.length,
  );
  return { storage: ratio >= LEAST_GAIN ? "sparse" : "dense", ratio, choices };
}

/** The entry of the same shape and bucket with the fewest tokens that are enough. */
function measuredChoice(
  { rows, cols, dtype, sparsity }: PlannedMatrix,
  tokens: number,
  measured: readonly TuneEntry[],
): TokenChoice | undefined {
  const bucket = sparsityBucket(sparsity);
  const [entry] = measured
    .filter(
      (candidate) =>
        candidate.rows === rows &&
        candidate.cols === cols &&
        candidate.dtype === dtype &&
        candidate.sparsity === bucket &&
        candidate.tokens >= tokens &&
        kernelTokens(candidate.tokens) === kernelTokens(tokens),
    )
    .sort((a, b) => a.tokens - b.tokens);
  if (entry === undefined) return undefined;
  return {
    tokens,
    ratio: entry.denseUs / entry.sparseUs,
    overlapRatio: entry.denseUs / entry.overlapUs,
    geometry: entry.geometry,
    overlapGeometry: entry.overlapGeometry,
    from: "measured here",
  };
}

/** Tokens that a kernel handles at once: one of these sizes serves them all. */
function kernelTokens(tokens: number): number {
  return [8, 16, 32, 64].find((most) => tokens <= most) ?? tokens;
}

/** The nearest measured shape, between its two neighbouring sparsities and tokens. */
function builtInChoice({ rows, cols, sparsity }: PlannedMatrix, tokens: number): TokenChoice {
  const { shapes, sparsities, tokens: columns } = MEASURED_ON_H100;
  if (rows * cols < LEAST_WEIGHTS) {
    return { tokens, ratio: 1, overlapRatio: 1, ...BUILT_IN, from: "estimated" };
  }
  const nearest = shapes.reduce((best, shape) =>
    distance(shape, rows, cols) < distance(best, rows, cols) ? shape : best,
  );
  const column = columns.findIndex((most) => tokens <= most);
  if (column === -1) {
    // beyond the table a kernel reads the weights again and again, and dense wins
    return {
      tokens,
      ratio: BEYOND_TABLE,
      overlapRatio: BEYOND_TABLE,
      ...BUILT_IN,
      from: "estimated",
    };
  }
  const cells = nearest.ratios[column]!;
  const percent = sparsity * 100;
  const above = sparsities.findIndex((known) => known >= percent);
  const at = (index: number): readonly [number, number] => cells[index]!;
  const [ratio, overlapRatio] =
    above === -1
      ? at(sparsities.length - 1)
      : above === 0
        ? extrapolated(at(0), percent, sparsities[0]!)
        : between(
            at(above - 1),
            at(above),
            (percent - sparsities[above - 1]!) / (sparsities[above]! - sparsities[above - 1]!),
          );
  const isExact =
    nearest.rows === rows &&
    nearest.cols === cols &&
    columns.includes(tokens) &&
    sparsities.includes(Math.round(percent * 10) / 10);
  const from = isExact ? "measured on an H100" : "estimated";
  return { tokens, ratio, overlapRatio, ...BUILT_IN, from };
}

const BUILT_IN = { geometry: "built-in", overlapGeometry: "built-in" } as const;

/** Of shapes: how different their sides are, as factors. */
function distance({ rows, cols }: MeasuredShape, otherRows: number, otherCols: number): number {
  return Math.abs(Math.log(rows / otherRows)) + Math.abs(Math.log(cols / otherCols));
}

function between(
  a: readonly [number, number],
  b: readonly [number, number],
  share: number,
): [number, number] {
  return [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share];
}

/** Less sparse than measured: time grows with the bytes, which are 2(1 − s) + 1/8 a weight. */
function extrapolated(
  [ratio, overlapRatio]: readonly [number, number],
  percent: number,
  least: number,
): [number, number] {
  const bytes = (zeros: number): number => 2 * (1 - zeros / 100) + 0.14;
  const factor = bytes(least) / bytes(percent);
  return [ratio * factor, overlapRatio * factor];
}
