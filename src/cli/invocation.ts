/** What a command gets besides its arguments. */
import type { Limits } from "../core/limits.ts";
import type { OnEvent } from "../pipeline/events.ts";
import type { Arguments } from "./commandLine/arguments.ts";

export interface Warning {
  readonly code: string;
  readonly message: string;
}

export interface Invocation {
  readonly arguments: Arguments;
  /** What the pipeline takes from the options of all commands. */
  readonly work: {
    readonly threads?: number;
    readonly limits: Limits;
    readonly followSymlinks: boolean;
  };
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** Shown once on stderr, and listed in the JSON form. */
  warn(warning: Warning): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Characters in a line of help. */
  readonly width: number;
}
