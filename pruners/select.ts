/**
 * Choosing which weights go: exact counts, ties broken by lowest index, no sorting.
 *
 * A weight's magnitude key is its bits without the sign: for fp16, bf16 and fp32 alike that orders
 * finite values by magnitude, puts infinity above them and NaN above that, so that non-finite
 * weights are the last to go. All functions zero what they drop, in place.
 */

export type WeightBits = Uint16Array | Uint32Array;

/** The sign bit's complement for these bits. */
export function keyMask(bits: WeightBits): number {
  return bits instanceof Uint16Array ? 0x7fff : 0x7fff_ffff;
}

/** Everything below `key` goes, and the first `ties` equal to it. */
export interface Threshold {
  readonly key: number;
  readonly ties: number;
}

/** The inner loops; a faster twin of the plain ones below may stand in for 16-bit weights. */
export interface SelectKernels {
  readonly name: "typescript" | "wasm";
  /** In each row zeroes the `drop` weights of least key. */
  dropLowestPerRow(bits: WeightBits, rows: number, cols: number, drop: number): void;
  /** Zeroes the `drop` weights of least key of all. */
  dropLowest(bits: WeightBits, drop: number): void;
  /** Zeroes what is below the threshold; returns the ties that are left over. */
  dropBelow(bits: WeightBits, threshold: Threshold): number;
  /** Weights of each 16-bit key; 32,768 counts. */
  histogram(bits: Uint16Array): Uint32Array;
  /** In each group of `m` neighbours in a row (the last may be shorter) keeps the `n` greatest. */
  keepNOfM(bits: WeightBits, rows: number, cols: number, n: number, m: number): void;
  /** Weights whose key is `infinity` or above. */
  countNonfinite(bits: WeightBits, infinity: number): number;
}

/** Up to here sorting the keys is faster than counting them in bins. */
const SORT_UP_TO = 256;
/** Keys are counted by their upper 11 bits, then the next 11, then the last 10. */
const DIGIT_SHIFTS = [21, 10, 0];
const DIGIT_BINS = 2048;

/** The threshold that drops exactly `drop` ≥ 1 of `count` keys (u32, by index). */
export function lowestThreshold(
  count: number,
  keyAt: (index: number) => number,
  drop: number,
): Threshold {
  if (count <= SORT_UP_TO) {
    const keys = new Uint32Array(count);
    for (let i = 0; i < count; i++) keys[i] = keyAt(i);
    keys.sort();
    const key = keys[drop - 1]!;
    return { key, ties: drop - keys.indexOf(key) };
  }
  const counts = new Uint32Array(DIGIT_BINS);
  let bounds = { begin: 0, end: 2 ** 32 };
  let left = drop;
  for (const shift of DIGIT_SHIFTS) {
    counts.fill(0);
    const { begin, end } = bounds;
    for (let i = 0; i < count; i++) {
      const key = keyAt(i);
      if (key >= begin && key < end) counts[(key - begin) >>> shift]!++;
    }
    const { bin, below } = findBin(counts.subarray(0, (end - begin) / 2 ** shift), left);
    left -= below;
    bounds = { begin: begin + bin * 2 ** shift, end: begin + (bin + 1) * 2 ** shift };
  }
  return { key: bounds.begin, ties: left };
}

/** The last bin with at most `drop` counts before it. */
export function findBin(counts: ArrayLike<number>, drop: number): { bin: number; below: number } {
  let below = 0;
  let bin = 0;
  while (bin < counts.length - 1 && below + counts[bin]! <= drop) below += counts[bin++]!;
  return { bin, below };
}

export const plainSelect: SelectKernels = {
  name: "typescript",
  dropLowestPerRow(bits, rows, cols, drop) {
    for (let row = 0; row < rows; row++) {
      plainSelect.dropLowest(bits.subarray(row * cols, (row + 1) * cols), drop);
    }
  },
  dropLowest(bits, drop) {
    const mask = keyMask(bits);
    if (drop > 0)
      plainSelect.dropBelow(
        bits,
        lowestThreshold(bits.length, (i) => bits[i]! & mask, drop),
      );
  },
  dropBelow(bits, { key: threshold, ties }) {
    const mask = keyMask(bits);
    let left = ties;
    for (let i = 0; i < bits.length; i++) {
      const key = bits[i]! & mask;
      if (key > threshold || (key === threshold && left-- <= 0)) continue;
      bits[i] = 0;
    }
    return Math.max(left, 0);
  },
  histogram(bits) {
    const counts = new Uint32Array(32_768);
    for (let i = 0; i < bits.length; i++) counts[bits[i]! & 0x7fff]!++;
    return counts;
  },
  keepNOfM(bits, rows, cols, n, m) {
    const keys = new Uint32Array(m);
    for (let row = 0; row < rows; row++) {
      const end = (row + 1) * cols;
      for (let begin = row * cols; begin < end; begin += m) {
        keepGreatest(bits, begin, Math.min(m, end - begin), n, keys);
      }
    }
  },
  countNonfinite(bits, infinity) {
    const mask = keyMask(bits);
    let count = 0;
    for (let i = 0; i < bits.length; i++) count += (bits[i]! & mask) >= infinity ? 1 : 0;
    return count;
  },
};

/** In a small group keeps the `n` greatest; `keys` is scratch. */
function keepGreatest(
  bits: WeightBits,
  begin: number,
  size: number,
  n: number,
  keys: Uint32Array,
): void {
  const mask = keyMask(bits);
  for (let i = 0; i < size; i++) keys[i] = bits[begin + i]! & mask;
  for (let i = 0; i < size; i++) {
    let rank = 0;
    for (let j = 0; j < i; j++) rank += keys[j]! <= keys[i]! ? 1 : 0;
    for (let j = i + 1; j < size; j++) rank += keys[j]! < keys[i]! ? 1 : 0;
    if (rank < size - n) bits[begin + i] = 0;
  }
}
