/** How much memory a piece of work had at most. */

const EVERY_MS = 20;

/**
 * The largest resident memory of the whole process, threads included, that was seen while `work`
 * ran. It is sampled, and what earlier work has not given back is in it.
 */
export async function withPeakMemory<Result>(
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly peakBytes: number }> {
  let peakBytes = process.memoryUsage.rss();
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  }, EVERY_MS);
  try {
    const result = await work();
    return { result, peakBytes: Math.max(peakBytes, process.memoryUsage.rss()) };
  } finally {
    clearInterval(timer);
  }
}
