/** What shows the pipeline's events while it works. One reporter a run. */
import { printable } from "../../core/text.ts";
import type { PipelineEvent } from "../../pipeline/events.ts";
import type { ProgressMode } from "../commandLine/options.ts";
import type { Warning } from "../invocation.ts";
import { paint } from "../output/style.ts";

export interface Reporter {
  report(event: PipelineEvent): void;
  /** A warning, between progress. */
  warn(warning: Warning): void;
  close(): void;
}

export interface ReporterOptions {
  readonly mode: ProgressMode;
  readonly quiet: boolean;
  readonly colour: boolean;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
}

export function warningText({ message }: Warning, colour: boolean): string {
  return `${paint("warning", "caution", colour)}: ${printable(message, 2000)}\n`;
}
