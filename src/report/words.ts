/** Numbers as the page and its Markdown form both show them. */
import { formatEstimate } from "../core/figures.ts";
import { formatPercent } from "../core/text.ts";
import type { PerplexityData } from "./data.ts";

export function estimate({ perplexity, stderr }: PerplexityData): string {
  return formatEstimate({ mean: perplexity, stderr: stderr ?? undefined });
}

/** "+4.2 %", "−0.3 %", "×31" for what is no longer a matter of percent. */
export function change(delta: number): string {
  if (delta >= 9) return `×${Math.round(delta + 1).toLocaleString("en-US")}`;
  return `${delta < 0 ? "−" : "+"}${formatPercent(Math.abs(delta))}`;
}

export const times = (ratio: number): string => `${ratio.toFixed(2)}×`;

export const MEMORY_COLUMN = "memory seen";
/** What the figures of a sweep's costs are, and are not. */
export const COSTS_NOTE =
  "Times are means over the points of a method. Memory is the largest resident size of the whole process in samples 20 ms apart, over all points of a method: what earlier points left behind is in it, so it is no measure of what a method needs, and a shorter peak is not seen.";
