/** How far the phases of a run are, and how long each still takes. */
import type { Phase, PipelineEvent } from "../../pipeline/events.ts";

type Item = Extract<PipelineEvent, { type: "item" }>;

interface Start {
  readonly at: number;
  /** Found done by a resumed run; that tells nothing about speed. In bytes, or items as below. */
  resumed: number;
  counted: number;
}

export class Pace {
  private readonly starts = new Map<Phase, Start>();
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  begin(phase: Phase): void {
    this.starts.set(phase, { at: this.now(), resumed: 0, counted: 0 });
  }

  /** Milliseconds since the phase began. */
  elapsed(phase: Phase): number {
    return this.now() - (this.starts.get(phase)?.at ?? this.now());
  }

  /** Milliseconds until the phase ends, or undefined while nothing can be said. */
  take(item: Item): number | undefined {
    const start = this.starts.get(item.phase);
    if (start === undefined) return undefined;
    const [done, all] = item.bytes > 0 ? [item.bytesDone, item.bytes] : [item.done, item.items];
    if (item.resumed) start.resumed += done - start.counted;
    start.counted = done;
    const worked = done - start.resumed;
    const elapsed = this.now() - start.at;
    if (worked <= 0 || elapsed <= 0) return undefined;
    return ((all - done) / worked) * elapsed;
  }
}

/** 0 to 1; by bytes, or by items where there are no bytes. */
export function fractionDone({
  bytes,
  bytesDone,
  done,
  items,
}: Pick<Item, "bytes" | "bytesDone" | "done" | "items">): number {
  if (bytes > 0) return Math.min(1, bytesDone / bytes);
  return items > 0 ? done / items : 1;
}

export const PHASE_LABELS: Readonly<Record<Phase, string>> = {
  hash: "hash source",
  calibrate: "calibrate",
  survey: "survey",
  prune: "prune",
  convert: "convert",
  write: "hash output",
  verify: "verify",
  bench: "measure",
  evaluate: "evaluate",
  sweep: "sweep",
  search: "search",
};
