/**
 * Time for speed limits in tests: that of the processor, which other work on the machine leaves, in
 * the milliseconds of the machine on which the limits were set. A core that shares its caches and its
 * clock with other work is slower by itself; a yardstick beside the work under test says how much.
 */

/** Processor time of the yardstick on an otherwise idle machine, in milliseconds. */
const YARDSTICK_MS = 150;
const ENTRIES = 100_000;

/** Milliseconds of processor time, on all threads of this process, that `run` takes. */
export function processorMs(run: () => void): number {
  const before = measured(yardstick);
  const taken = measured(run);
  const slowdown = Math.max(before, measured(yardstick)) / YARDSTICK_MS;
  return taken / Math.max(1, slowdown);
}

/** How many times as long as on an idle machine a command takes now by the clock on the wall; ≥ 1. */
export function wallSlowdown(): number {
  const begun = performance.now();
  yardstick();
  return Math.max(1, (performance.now() - begun) / YARDSTICK_MS);
}

function measured(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Work like that of the readers under test: text to objects, and names into a map. */
function yardstick(): void {
  const text = `[${Array.from({ length: ENTRIES }, (_, i) => `{"name${i}":[${i},0]}`).join(",")}]`;
  const entries = JSON.parse(text) as Record<string, number[]>[];
  const names = new Map(entries.flatMap((entry) => Object.entries(entry)));
  if (names.size !== ENTRIES) throw new Error("the yardstick lost an entry");
}
