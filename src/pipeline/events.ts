/** What happens while a command works, as data. The command line renders it, libraries may too. */

export type Phase =
  | "hash"
  | "calibrate"
  | "survey"
  | "prune"
  | "convert"
  | "write"
  | "verify"
  | "evaluate"
  | "sweep"
  | "search"
  | "bench";

export type PipelineEvent =
  | {
      readonly type: "begin";
      readonly phase: Phase;
      readonly items: number;
      readonly bytes: number;
    }
  | {
      readonly type: "item";
      readonly phase: Phase;
      readonly name: string;
      readonly done: number;
      readonly items: number;
      readonly bytesDone: number;
      readonly bytes: number;
      /** Not done now but found done when a run was resumed. */
      readonly resumed: boolean;
      /** The result so far, in words. */
      readonly note?: string;
    }
  | { readonly type: "end"; readonly phase: Phase }
  | { readonly type: "warning"; readonly code: string; readonly message: string };

export type OnEvent = (event: PipelineEvent) => void;

/** Counts items and bytes of one phase and reports them. */
export class Progress {
  private done = 0;
  private bytesDone = 0;
  private readonly onEvent: OnEvent;
  private readonly phase: Phase;
  private readonly items: number;
  private readonly bytes: number;

  constructor(onEvent: OnEvent, phase: Phase, items: number, bytes: number) {
    this.onEvent = onEvent;
    this.phase = phase;
    this.items = items;
    this.bytes = bytes;
    onEvent({ type: "begin", phase, items, bytes });
  }

  item(name: string, bytes: number, resumed = false, note?: string): void {
    this.done++;
    this.bytesDone += bytes;
    const { phase, items, done, bytesDone } = this;
    const item = { phase, name, done, items, bytesDone, bytes: this.bytes, resumed };
    this.onEvent({ type: "item", ...item, ...(note === undefined ? {} : { note }) });
  }

  /** Items so far. */
  get finished(): number {
    return this.done;
  }

  end(): void {
    this.onEvent({ type: "end", phase: this.phase });
  }
}
