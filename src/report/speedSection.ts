/** Whole models, dense and packed, as spinfer-bench-hf measured them in one process. */
import { formatBytes, formatDuration, formatPercent } from "../core/text.ts";
import type { DecodeSpeed, ModelSpeed, SpeedData, SpeedPerplexity } from "./data.ts";
import { type Dot, dotPlot } from "./dotPlot.ts";
import { html, type Markup } from "./markup.ts";
import { bothWidths } from "./sweepSections.ts";
import { times } from "./words.ts";

export const SPEED_METHOD =
  "Decoding with whole models, dense and packed layers of the same weights in one process and in " +
  "turns: time of the dense step over that of the packed one.";

export function speedSection({ gpu, command, models }: SpeedData): Markup {
  const batches = [...new Set(models.flatMap(({ decode }) => decode.map(({ batch }) => batch)))];
  return html`<section class="speed"><h2>End-to-end speed on ${gpu}</h2>
<p class="quiet">${SPEED_METHOD} <code>${command}</code></p>
${models.filter(({ decode }) => decode.length > 0).map((model) => plot(model, batches))}
<div class="scroll"><table>
<thead><tr>${SPEED_HEADS.map((head, i) => (i < 2 ? html`<th>${head}</th>` : html`<th class="right">${head}</th>`))}</tr></thead>
<tbody>${speedRows(models).map((cells) => html`<tr>${cells.map((cell, i) => (i < 2 ? html`<td>${cell}</td>` : html`<td class="right">${cell}</td>`))}</tr>`)}</tbody></table></div>
${models.flatMap(otherSpeeds).map((sentence) => html`<p>${sentence}</p>`)}</section>`;
}

/** Marks tell the numbers of sequences apart, alike for all models. */
function plot({ model, decode }: ModelSpeed, batches: readonly number[]): Markup {
  const several = new Set(decode.map(({ engine }) => engine)).size > 1;
  const dots = decode.map(({ engine, batch, sparsity, ratio }): Dot => {
    const row = `${several ? `${engine}, ` : ""}${batch} at ${formatPercent(sparsity)} zeros`;
    const shown = times(ratio);
    const title = `${model}, ${row}: ${shown}`;
    return { row, index: batches.indexOf(batch) + 1, value: ratio, shown, title };
  });
  const reference = { value: 1, name: "dense" };
  const label = `Speed of ${model}`;
  return html`<h3>${model}</h3>
<p class="quiet">Sequences at a time, and zeros of the pruned weights.</p>
${bothWidths(undefined, (width) => dotPlot({ label, axis: "times as fast", reference, dots }, width))}`;
}

export const SPEED_HEADS = [
  "model",
  "engine",
  "sequences",
  "zeros",
  "dense tokens/s",
  "packed",
  "ratio",
  "dense memory",
  "packed",
  "dense J/token",
  "packed",
] as const;

/** Cells of a row for each way in which a model decoded; the first two are names. */
export function speedRows(models: readonly ModelSpeed[]): string[][] {
  return models.flatMap(({ model, decode }) => decode.map((row) => [model, ...cellsOf(row)]));
}

function cellsOf({ engine, sparsity, batch, ratio, dense, sparse }: DecodeSpeed): string[] {
  const sides = [dense, sparse];
  return [
    ...[engine, String(batch), formatPercent(sparsity)],
    ...sides.map(({ tokensPerSecond, deviation }) =>
      [tokensPerSecond, ...(deviation === undefined ? [] : [deviation])]
        .map((value) => value.toFixed(1))
        .join(" ± "),
    ),
    times(ratio),
    ...sides.map(({ peakBytes }) => formatBytes(peakBytes)),
    ...sides.map(({ joulesPerToken }) => joulesPerToken?.toFixed(3) ?? ""),
  ];
}

function perplexityOf({ dense, sparse }: SpeedPerplexity): string {
  const values = `${sparse.value.toFixed(3)} packed and ${dense.value.toFixed(3)} dense`;
  return `perplexity ${values}, over ${sparse.tokens} tokens in windows of ${sparse.window}.`;
}

/** Sentences of what is no decoding. */
export function otherSpeeds({ model, perplexity, prefill, loading }: ModelSpeed): string[] {
  return [
    ...(perplexity === undefined ? [] : [`${model}: ${perplexityOf(perplexity)}`]),
    ...prefill.map(
      ({ engine, sparsity, tokens, ratio }) =>
        `${model}: a prompt of ${tokens} tokens at ${formatPercent(sparsity)} zeros (${engine}) ${times(ratio)}.`,
    ),
    ...loading.map(
      ({ pageCache, device, denseMs, sparseMs }) =>
        `${model}: loading to ${device} with a ${pageCache} page cache ${times(denseMs / sparseMs)}, ` +
        `${formatDuration(denseMs)} dense and ${formatDuration(sparseMs)} packed.`,
    ),
  ];
}
