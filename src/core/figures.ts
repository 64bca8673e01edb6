/** Perplexities as people read them. */

/** A mean with its standard error; none with one value. */
interface Estimate {
  readonly mean: number;
  readonly stderr?: number | undefined;
}

/** Four digits or so: 1.5265, 21.40, 48,419. */
export function formatPerplexity(value: number): string {
  return value < 10_000
    ? value.toFixed(decimalsOf(value))
    : Math.round(value).toLocaleString("en-US");
}

/** "21.40 ± 0.14": the error with as many decimals as the value. */
export function formatEstimate({ mean, stderr }: Estimate): string {
  const value = formatPerplexity(mean);
  return stderr === undefined ? value : `${value} ± ${formatError(mean, stderr)}`;
}

/** An error beside a value of that size. */
export function formatError(value: number, stderr: number): string {
  return value < 10_000
    ? stderr.toFixed(decimalsOf(value))
    : Math.round(stderr).toLocaleString("en-US");
}

function decimalsOf(value: number): number {
  if (value < 10) return 4;
  if (value < 100) return 3;
  return value < 1000 ? 2 : 1;
}
