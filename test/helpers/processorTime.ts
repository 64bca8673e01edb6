/** Time for speed limits in tests: that of the processor, which other work on the machine leaves. */

/** Milliseconds of processor time, on all threads of this process, that `run` takes. */
export function processorMs(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
