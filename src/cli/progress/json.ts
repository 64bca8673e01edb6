/** Progress as JSON lines for a program, at most ten a second and the last of each phase. */
import type { PipelineEvent } from "../../pipeline/events.ts";
import type { Output } from "../host.ts";
import { jsonText } from "../output/data.ts";
import { Pace } from "./pace.ts";
import type { Reporter } from "./reporter.ts";

const LEAST_MS = 100;

export function jsonReporter(stderr: Output, now: () => number): Reporter {
  const pace = new Pace(now);
  let last = Number.NEGATIVE_INFINITY;
  return {
    report(event) {
      if (event.type === "begin") pace.begin(event.phase);
      if (event.type !== "item") return;
      const left = pace.take(event);
      if (event.done < event.items && now() - last < LEAST_MS) return;
      last = now();
      stderr.write(`${jsonText(progressRecord(event, left), 0)}\n`);
    },
    warn: ({ code, message }) =>
      stderr.write(`${jsonText({ schema: "spinfer.warning/1", code, message }, 0)}\n`),
    close: () => undefined,
  };
}

function progressRecord(item: Extract<PipelineEvent, { type: "item" }>, left: number | undefined) {
  const { phase, name, done, items, bytesDone, bytes, note } = item;
  return {
    schema: "spinfer.progress/1",
    phase,
    item: name,
    done,
    total: items,
    bytes: bytesDone,
    bytes_total: bytes,
    eta_s: left === undefined ? null : Math.round(left / 100) / 10,
    ...(note === undefined ? {} : { note }),
  };
}
