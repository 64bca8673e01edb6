/**
 * Means over tokens with their standard errors. The windows are the sample: tokens of one window
 * depend on each other, so their spread alone would promise too much.
 */

export interface Estimate {
  readonly mean: number;
  /** Undefined with fewer than two windows. */
  readonly stderr: number | undefined;
}

export class WindowSums {
  private readonly sums: number[] = [];
  private readonly counts: number[] = [];

  /** The sum over the scored tokens of one window, and how many they are (at least one). */
  add(sum: number, count: number): void {
    this.sums.push(sum);
    this.counts.push(count);
  }

  /**
   * Σ S_i / Σ c_i, with the standard error of a ratio: √(n/(n−1) Σ (S_i − m c_i)²) / Σ c_i
   * (Cochran, Sampling Techniques, 3rd ed., 2.11). With equal counts that is s/√n of window means.
   */
  estimate(): Estimate {
    const total = sum(this.counts);
    const mean = sum(this.sums) / total;
    const n = this.sums.length;
    if (n < 2) return { mean, stderr: undefined };
    const squares = this.sums.map((value, i) => (value - mean * this.counts[i]!) ** 2);
    return { mean, stderr: Math.sqrt((n / (n - 1)) * sum(squares)) / total };
  }

  /** Of the differences, window by window: what both have in common drops out. */
  minus(other: WindowSums): WindowSums {
    const difference = new WindowSums();
    for (const [i, value] of this.sums.entries())
      difference.add(value - other.sums[i]!, this.counts[i]!);
    return difference;
  }
}

function sum(numbers: readonly number[]): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

/** exp of a mean, its error carried over: exp(m) ± exp(m)·s. */
export function exponential({ mean, stderr }: Estimate): Estimate {
  const value = Math.exp(mean);
  return { mean: value, stderr: stderr === undefined ? undefined : value * stderr };
}
