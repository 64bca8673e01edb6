/** What people hear of a search. */
import { formatPerplexity } from "../../core/figures.ts";
import type { OnEvent } from "../events.ts";

/** Evaluations that progress counts with until it is known better. */
const TYPICAL_EVALUATIONS = 6;

/** Every try goes through the same steps, which warn of the same things. */
export function eachWarningOnce(onEvent: OnEvent): OnEvent {
  const said = new Set<string>();
  return (event) => {
    if (event.type === "warning") {
      if (said.has(event.message)) return;
      said.add(event.message);
    }
    onEvent(event);
  };
}

/** How many evaluations there will be is not known before the last. */
export class SearchProgress {
  private readonly onEvent: OnEvent;
  private done = 0;

  constructor(onEvent: OnEvent) {
    this.onEvent = onEvent;
    onEvent({ type: "begin", phase: "search", items: TYPICAL_EVALUATIONS, bytes: 0 });
  }

  evaluated(name: string, perplexity: number | null, resumed: boolean, last: boolean): void {
    this.done++;
    this.onEvent({
      ...{ type: "item", phase: "search", name, done: this.done, bytesDone: 0, bytes: 0, resumed },
      items: last ? this.done : Math.max(TYPICAL_EVALUATIONS, this.done + 1),
      note: `${name} ppl ${perplexity === null ? "no number" : formatPerplexity(perplexity)}`,
    });
  }

  end(): void {
    this.onEvent({ type: "end", phase: "search" });
  }
}
