/** Statistics of one matrix's inputs, and where in a statistics file they are. */
import type { ActivationStats, StatName } from "../../../pruners/definePruner.ts";
import { readInto } from "../../io/openFile.ts";

/** Bytes begin..end of the file. */
export type Range = readonly [begin: number, end: number];

/** Plain data, so that worker threads read for themselves. */
export interface StatsPlace {
  readonly path: string;
  readonly cols: number;
  readonly tokens: number;
  readonly samples: number;
  /** Σ x_j², Σ x_j: float64. */
  readonly squares: Range;
  readonly sums: Range;
  /** Lower triangle of XᵀX, row by row: float32. */
  readonly gram?: Range;
  /** Σ x_j² in the model as it was, where the others were taken in one that was pruned on the way. */
  readonly denseSquares?: Range;
}

/** Values of a triangle of n × n, made even so that what follows is aligned. */
export function triangleValues(n: number): number {
  return 2 * Math.ceil((n * (n + 1)) / 4);
}

/** `survey`: those of the model as it was, where there are two. */
export function readStats(
  place: StatsPlace | undefined,
  needs: readonly StatName[],
  survey = false,
): ActivationStats {
  if (place === undefined || needs.length === 0) return {};
  const { path, cols, tokens, samples, squares, sums, gram, denseSquares = squares } = place;
  const wanted = new Set(needs);
  return {
    tokens,
    samples,
    ...(wanted.has("inputNorms")
      ? { inputNorms: doubles(path, survey ? denseSquares : squares).map(Math.sqrt) }
      : {}),
    ...(wanted.has("inputSums") ? { inputSums: doubles(path, sums) } : {}),
    ...(wanted.has("gram") && gram !== undefined && !survey
      ? { gram: wholeGram(path, gram, cols) }
      : {}),
  };
}

function doubles(path: string, [begin, end]: Range): Float64Array {
  const bytes = new Uint8Array(end - begin);
  readInto(path, begin, bytes);
  return new Float64Array(bytes.buffer);
}

function wholeGram(path: string, [begin, end]: Range, n: number): Float64Array {
  const bytes = new Uint8Array(end - begin);
  readInto(path, begin, bytes);
  const triangle = new Float32Array(bytes.buffer);
  const gram = new Float64Array(n * n);
  for (let i = 0, at = 0; i < n; at += ++i) gram.set(triangle.subarray(at, at + i + 1), i * n);
  mirror(gram, n);
  return gram;
}

/** Columns of a square that is mirrored at once: both its sides stay in the cache. */
const TILE = 32;

/** Copies the lower triangle to the upper. */
function mirror(matrix: Float64Array, n: number): void {
  for (let top = 0; top < n; top += TILE) {
    for (let left = 0; left <= top; left += TILE) {
      for (let i = top; i < Math.min(top + TILE, n); i++) {
        const end = Math.min(left + TILE, i);
        for (let j = left; j < end; j++) matrix[j * n + i] = matrix[i * n + j]!;
      }
    }
  }
}

/** A lower triangle of n × n, row by row, as it is stored. */
export function storedTriangle(triangle: Float64Array, n: number): Float32Array {
  const stored = new Float32Array(triangleValues(n));
  stored.set(triangle);
  return stored;
}
