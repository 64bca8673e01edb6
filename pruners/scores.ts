/**
 * Choosing weights by float64 scores: exact counts, ties by lowest index, without sorting rows.
 *
 * A score is 0 or more; infinity marks what goes last. The upper half of a float64 that is not
 * negative orders such numbers like they are ordered themselves, so it is counted in bins first,
 * and only the scores of one bin are compared with each other.
 */
import { findBin, type WeightBits } from "./select.ts";

/** Fills in the scores of one row. */
export type RowScores = (row: number, scores: Float64Array) => void;

/** Everything below `score` goes, and the first `ties` equal to it. */
export interface ScoreThreshold {
  readonly score: number;
  readonly ties: number;
}

/** The bins of a row: the eight binary orders below its greatest score, 128 steps in each. */
const ROW_BINS = 1024;
const ROW_SHIFT = 13;
const ROW_SPAN = ROW_BINS << ROW_SHIFT;
/** Sorted by hand up to here. */
const SMALL = 24;
/** Splits of an array before what is left of it is sorted: mostly next to nothing. */
const MOST_SPLITS = 16;

/** Finds thresholds among the first scores of an array; keeps its scratch memory. */
export class ThresholdFinder {
  private readonly counts = new Uint32Array(ROW_BINS);
  private readonly candidates: Float64Array;
  private readonly scores: Float64Array;
  private readonly upper: Uint32Array;

  constructor(scores: Float64Array) {
    this.scores = scores;
    this.candidates = new Float64Array(scores.length);
    this.upper = new Uint32Array(scores.buffer, scores.byteOffset, 2 * scores.length);
  }

  /** The threshold that drops exactly `drop` ≥ 1 of the first `count`. */
  find(count: number, drop: number): ScoreThreshold {
    const { scores, upper, counts, candidates } = this;
    let greatest = 0;
    for (let i = 1; i < 2 * count; i += 2) if (upper[i]! > greatest) greatest = upper[i]!;
    const floor = Math.max(0, greatest - ROW_SPAN + 1);
    counts.fill(0);
    for (let i = 1; i < 2 * count; i += 2) {
      const above = upper[i]! - floor;
      counts[above <= 0 ? 0 : above >>> ROW_SHIFT]!++;
    }
    const { bin, below } = findBin(counts, drop - 1);
    let found = 0;
    for (let i = 0; i < count; i++) {
      const above = upper[2 * i + 1]! - floor;
      if ((above <= 0 ? 0 : above >>> ROW_SHIFT) === bin) candidates[found++] = scores[i]!;
    }
    return thresholdOf(candidates.subarray(0, found), drop - below);
  }
}

/** Moves the scores around, and takes the threshold that drops `drop` ≥ 1 of them. */
function thresholdOf(scores: Float64Array, drop: number): ScoreThreshold {
  moveLowestFirst(scores, drop - 1);
  const score = scores[drop - 1]!;
  let ties = 1;
  for (let i = 0; i < drop - 1; i++) if (scores[i] === score) ties++;
  return { score, ties };
}

/** Splits until the score of index `at` is where sorting would put it, none less behind it. */
function moveLowestFirst(scores: Float64Array, at: number): void {
  let [begin, end] = [0, scores.length];
  for (let splits = 0; end - begin > SMALL; splits++) {
    if (splits === MOST_SPLITS) {
      scores.subarray(begin, end).sort(); // much only where an order is made to split badly
      return;
    }
    const pivot = middleOfThree(scores[begin]!, scores[(begin + end) >> 1]!, scores[end - 1]!);
    let [low, high] = [begin, end - 1];
    while (low <= high) {
      while (scores[low]! < pivot) low++;
      while (scores[high]! > pivot) high--;
      if (low > high) break;
      const moved = scores[low]!;
      scores[low++] = scores[high]!;
      scores[high--] = moved;
    }
    if (at <= high) end = high + 1;
    else if (at >= low) begin = low;
    else return; // between the two all are equal to the pivot
  }
  sortSmall(scores.subarray(begin, end));
}

function middleOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

function sortSmall(scores: Float64Array): void {
  for (let i = 1; i < scores.length; i++) {
    const score = scores[i]!;
    let at = i - 1;
    for (; at >= 0 && scores[at]! > score; at--) scores[at + 1] = scores[at]!;
    scores[at + 1] = score;
  }
}

/** Zeroes what is below the threshold; returns the ties that are left over. */
export function dropBelow(
  bits: WeightBits,
  begin: number,
  scores: Float64Array,
  count: number,
  { score: threshold, ties }: ScoreThreshold,
): number {
  let left = ties;
  for (let i = 0; i < count; i++) {
    const score = scores[i]!;
    if (score > threshold || (score === threshold && left-- <= 0)) continue;
    bits[begin + i] = 0;
  }
  return Math.max(0, left);
}

/** So many scores with equal first digits are compared directly. */
const LARGEST_BIN = 1 << 21;
const DIGIT_BINS = 65_536;

/** Zeroes the `drop` weights of least score of the whole matrix. Scores are computed three times. */
export function dropLowest(
  bits: WeightBits,
  rows: number,
  cols: number,
  drop: number,
  rowScores: RowScores,
): void {
  if (drop === 0) return;
  const scores = new Float64Array(cols);
  const { score, ties } = matrixThreshold(rows, drop, scores, rowScores);
  let left = ties;
  for (let row = 0; row < rows; row++) {
    rowScores(row, scores);
    left = dropBelow(bits, row * cols, scores, cols, { score, ties: left });
  }
}

/** What is known of a threshold: its first digits of 16 bits each. */
interface Prefix {
  readonly digits: readonly number[];
  /** How many scores begin like that, and how many of those go. */
  readonly count: number;
  readonly drop: number;
}

/** Counts digits until few scores are left, then compares those. `scores`: a row, as scratch. */
function matrixThreshold(
  rows: number,
  drop: number,
  scores: Float64Array,
  rowScores: RowScores,
): ScoreThreshold {
  let prefix: Prefix = { digits: [], count: Number.POSITIVE_INFINITY, drop };
  while (prefix.digits.length < 4) {
    const counts = new Uint32Array(DIGIT_BINS);
    for (let row = 0; row < rows; row++) {
      rowScores(row, scores);
      countDigits(scores, prefix.digits, counts);
    }
    const { bin, below } = findBin(counts, prefix.drop - 1);
    const digits = [...prefix.digits, bin];
    prefix = { digits, count: counts[bin]!, drop: prefix.drop - below };
    if (prefix.count <= LARGEST_BIN) return compareRest(rows, prefix, scores, rowScores);
  }
  const halves = Uint16Array.from(prefix.digits).reverse();
  return { score: new Float64Array(halves.buffer)[0]!, ties: prefix.drop };
}

/** Counts the next digit of the scores that begin with these. */
function countDigits(scores: Float64Array, digits: readonly number[], counts: Uint32Array): void {
  const halves = new Uint16Array(scores.buffer, scores.byteOffset, 4 * scores.length);
  const at = 3 - digits.length;
  const [first = 0, second = 0, third = 0] = digits;
  const depth = digits.length;
  for (let i = 0; i < halves.length; i += 4) {
    if (depth > 0 && halves[i + 3] !== first) continue;
    if (depth > 1 && halves[i + 2] !== second) continue;
    if (depth > 2 && halves[i + 1] !== third) continue;
    counts[halves[i + at]!]!++;
  }
}

function compareRest(
  rows: number,
  { digits, count, drop }: Prefix,
  scores: Float64Array,
  rowScores: RowScores,
): ScoreThreshold {
  const found = new Float64Array(count);
  const halves = new Uint16Array(scores.buffer, scores.byteOffset, 4 * scores.length);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    rowScores(row, scores);
    for (let i = 0; i < scores.length; i++) {
      let place = 0;
      while (place < digits.length && halves[4 * i + 3 - place] === digits[place]) place++;
      if (place === digits.length) found[at++] = scores[i]!;
    }
  }
  return thresholdOf(found, drop);
}

/** Marks the `drop` least of an array's scores with 1, lowest index first among equals. */
export class LowestMarker {
  private readonly scores: Float64Array;
  private readonly finder: ThresholdFinder;

  constructor(scores: Float64Array) {
    this.scores = scores;
    this.finder = new ThresholdFinder(scores);
  }

  mark(drop: number, marks: Uint8Array): void {
    const { scores } = this;
    if (drop === 0) {
      marks.fill(0);
      return;
    }
    const { score: threshold, ties } = this.finder.find(scores.length, drop);
    let left = ties;
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i]!;
      marks[i] = score < threshold || (score === threshold && left-- > 0) ? 1 : 0;
    }
  }
}

/** In each group of `m` neighbours in a row (the last may be shorter) keeps the `n` best. */
export function keepNOfM(
  bits: WeightBits,
  rows: number,
  cols: number,
  { n, m }: { readonly n: number; readonly m: number },
  rowScores: RowScores,
): void {
  const scores = new Float64Array(cols);
  for (let row = 0; row < rows; row++) {
    rowScores(row, scores);
    for (let begin = 0; begin < cols; begin += m) {
      const end = Math.min(begin + m, cols);
      const drop = end - begin - n;
      for (let i = begin; drop > 0 && i < end; i++) {
        if (rankOf(scores, begin, end, i) < drop) bits[row * cols + i] = 0;
      }
    }
  }
}

/** How many of begin..end come before `at`: lower scores, and earlier equal ones. */
export function rankOf(scores: Float64Array, begin: number, end: number, at: number): number {
  const score = scores[at]!;
  let rank = 0;
  for (let i = begin; i < at; i++) rank += scores[i]! <= score ? 1 : 0;
  for (let i = at + 1; i < end; i++) rank += scores[i]! < score ? 1 : 0;
  return rank;
}
