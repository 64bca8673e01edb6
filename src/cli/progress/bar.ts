/** Progress as bars on a terminal, one for each phase at work; nothing of them stays. */
import cliProgress, { type SingleBar } from "cli-progress";
import { formatDuration, printable } from "../../core/text.ts";
import type { Phase, PipelineEvent } from "../../pipeline/events.ts";
import type { Output } from "../host.ts";
import { fractionDone, Pace, PHASE_LABELS } from "./pace.ts";
import { type Reporter, type ReporterOptions, warningText } from "./reporter.ts";

const BAR_CELLS = 24;
const LABEL_CELLS = Math.max(...Object.values(PHASE_LABELS).map(({ length }) => length));

export function barReporter(
  stderr: Output,
  { now, colour }: Pick<ReporterOptions, "now" | "colour">,
  stream: NodeJS.WritableStream = process.stderr,
): Reporter {
  const pace = new Pace(now);
  const bars = new Map<Phase, SingleBar>();
  const multi = new cliProgress.MultiBar({
    stream,
    format: (_options, _params, payload: { text: string }) => payload.text,
    fps: 10,
    clearOnComplete: true,
    hideCursor: false,
    linewrap: true, // lines are cut to the width below,
    emptyOnZero: true,
    gracefulExit: false,
  });
  return {
    report(event) {
      if (event.type === "begin") {
        pace.begin(event.phase);
        if (bars.has(event.phase)) return;
        const start = { ...event, name: "", done: 0, bytesDone: 0 };
        const text = barLine(start, undefined, stderr.columns);
        bars.set(event.phase, multi.create(1, 0, { text }));
      }
      if (event.type !== "item") return;
      const text = barLine(event, pace.take(event), stderr.columns);
      const bar = bars.get(event.phase);
      bar?.update(fractionDone(event), { text });
      if (bar !== undefined && event.done === event.items) {
        multi.remove(bar);
        bars.delete(event.phase);
      }
    },
    warn(warning) {
      const text = warningText(warning, colour);
      if (bars.size === 0) stderr.write(text);
      else {
        multi.log(text);
        multi.update(); // stopping would drop what is not drawn yet
      }
    },
    close() {
      bars.clear();
      if (multi.isActive) multi.stop();
    },
  };
}

/** `  prune        ███████░░░░░░░  44% · 52/112 · 1m52s left · layers.7.mlp`, cut to the width. */
export function barLine(
  event: Pick<
    Extract<PipelineEvent, { type: "item" }>,
    "phase" | "name" | "done" | "items" | "bytesDone" | "bytes" | "note"
  >,
  left: number | undefined,
  columns: number,
): string {
  const fraction = fractionDone(event);
  const full = Math.round(fraction * BAR_CELLS);
  const text = [
    `  ${PHASE_LABELS[event.phase].padEnd(LABEL_CELLS)}  ${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)}` +
      ` ${String(Math.floor(fraction * 100)).padStart(3)}%`,
    `${event.done}/${event.items}`,
    ...(event.note === undefined ? [] : [event.note]),
    ...(left === undefined || left <= 0 ? [] : [`${formatDuration(left)} left`]),
    ...(event.name === "" ? [] : [printable(event.name)]),
  ].join(" · ");
  return [...text].slice(0, Math.max(20, columns - 1)).join("");
}
