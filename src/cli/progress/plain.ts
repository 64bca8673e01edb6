/** Progress as lines, for logs: at most one a second, and then only after another tenth. */
import { formatBytes, formatDuration, formatPercent } from "../../core/text.ts";
import type { Phase } from "../../pipeline/events.ts";
import type { Output } from "../host.ts";
import { fractionDone, Pace, PHASE_LABELS } from "./pace.ts";
import { type Reporter, type ReporterOptions, warningText } from "./reporter.ts";

const LEAST_MS = 1000;
const STEP = 0.1;

export function plainReporter(
  stderr: Output,
  { now, colour }: Pick<ReporterOptions, "now" | "colour">,
): Reporter {
  const pace = new Pace(now);
  const next = new Map<Phase, number>();
  let lastLine = Number.NEGATIVE_INFINITY;
  return {
    report(event) {
      if (event.type === "begin") {
        pace.begin(event.phase);
        next.set(event.phase, STEP);
      }
      if (event.type !== "item") return;
      const left = pace.take(event);
      const fraction = fractionDone(event);
      // a phase that takes less than a second needs no word
      if (pace.elapsed(event.phase) < LEAST_MS || now() - lastLine < LEAST_MS) return;
      if (fraction < (next.get(event.phase) ?? STEP)) return;
      lastLine = now();
      next.set(event.phase, Math.floor(fraction / STEP + 1e-9) * STEP + STEP);
      const parts = [
        `${PHASE_LABELS[event.phase]} ${formatPercent(Math.floor(fraction * 100) / 100)}`,
        `${event.done} of ${event.items}`,
        ...(event.bytes === 0
          ? []
          : [`${formatBytes(event.bytesDone)} of ${formatBytes(event.bytes)}`]),
        ...(event.note === undefined ? [] : [event.note]),
        ...(left === undefined || left <= 0 ? [] : [`${formatDuration(left)} left`]),
      ];
      stderr.write(`${parts.join(" · ")}\n`);
    },
    warn: (warning) => stderr.write(warningText(warning, colour)),
    close: () => undefined,
  };
}
