/** Whole models with packed weights against dense ones, as spinfer-bench-hf measured them in one run. */
import { formatBytes, formatPercent } from "../core/text.ts";
import type { ModelSpeed, ModelSpeedData } from "./data.ts";
import { type Dot, dotPlot } from "./dotPlot.ts";
import { html, type Markup } from "./markup.ts";
import { bothWidths } from "./sweepSections.ts";
import { times } from "./words.ts";

export const MODEL_SPEED_NOTE =
  "Time of the dense model over that of the packed one, with the same values; above 1 packed is faster. Decode makes one token for each sequence at a time, prefill reads a prompt.";
export const MODEL_SPEED_HEADS = [
  ...["model", "engine", "work", "zeros", "dense tokens/s", "packed tokens/s", "ratio"],
  ...["dense peak", "packed peak"],
];

export function modelSpeedSection({ gpu, speeds }: ModelSpeedData): Markup {
  const works = [...new Set(speeds.map(workOf))];
  const dots = speeds.map((speed): Dot => {
    const work = workOf(speed);
    const row = `${work}, ${formatPercent(speed.sparsity)} zeros`;
    const shown = times(speed.ratio);
    const title = `${speed.model}, ${speed.engine}, ${row}: ${shown}`;
    return { row, index: works.indexOf(work) + 1, value: speed.ratio, shown, title };
  });
  const models = new Set(speeds.map(({ model, engine }) => `${model}, ${engine}`));
  const reference = { value: 1, name: "dense" };
  return html`<section id="models"><h2>Speed of whole models on ${gpu}</h2>
<p class="quiet">${MODEL_SPEED_NOTE}</p>
${[...models].map((name) => {
  const own = dots.filter((_, i) => `${speeds[i]!.model}, ${speeds[i]!.engine}` === name);
  const label = `Speed of ${name}`;
  const plot = { label, axis: "times as fast", reference, dots: own };
  return html`${models.size > 1 ? html`<h3>${name}</h3>` : undefined}${bothWidths(undefined, (width) => dotPlot(plot, width))}`;
})}
<details><summary>All ${speeds.length} measurements</summary>
<div class="scroll"><table>
<thead><tr>${MODEL_SPEED_HEADS.map((head, i) => html`<th${i < 3 ? undefined : html` class="right"`}>${head}</th>`)}</tr></thead>
<tbody>${speeds.map((speed) => html`<tr data-speed="${speed.model} ${workOf(speed)}">${modelSpeedCells(speed).map((cell, i) => html`<td${i < 3 ? undefined : html` class="right"`}>${cell}</td>`)}</tr>`)}</tbody></table></div></details></section>`;
}

/** In the order of the heads. */
export function modelSpeedCells(speed: ModelSpeed): string[] {
  const { model, engine, sparsity, tokensPerSecond, ratio, peakBytes } = speed;
  return [
    ...[model, engine, workOf(speed), formatPercent(sparsity)],
    ...[tokensPerSecond.dense, tokensPerSecond.sparse].map((value) => value.toFixed(1)),
    times(ratio),
    ...(peakBytes === undefined ? ["", ""] : [peakBytes.dense, peakBytes.sparse].map(formatBytes)),
  ];
}

function workOf({ kind, size }: ModelSpeed): string {
  if (kind === "prefill") return `prefill of ${size}`;
  return `${size} sequence${size === 1 ? "" : "s"}`;
}
