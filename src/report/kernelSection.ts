/** Sparse products against dense ones, as bench kernels measured them in one run. */
import { formatPercent } from "../core/text.ts";
import type { KernelData } from "./data.ts";
import { type Dot, dotPlot } from "./dotPlot.ts";
import { html, type Markup } from "./markup.ts";
import { bothWidths } from "./sweepSections.ts";
import { times } from "./words.ts";

export function kernelSection({ gpu, method, means, cells }: KernelData): Markup {
  const tokens = [...new Set(means.map(({ tokens: n }) => n))];
  const dots = means.map((mean): Dot => {
    const row = `${tokensText(mean.tokens)}, ${formatPercent(mean.sparsity)} zeros`;
    const shown = times(mean.ratio);
    const title = `${row}: ${shown}, mean of ${mean.matrices} matrices`;
    return { row, index: tokens.indexOf(mean.tokens) + 1, value: mean.ratio, shown, title };
  });
  const reference = { value: 1, name: "dense" };
  return html`<section id="kernels"><h2>Speed of products on ${gpu}</h2>
<p class="quiet">Time of the best dense product over that of the sparse one, geometric means over matrices; right of the line sparse is faster.</p>
${dots.length === 0 ? undefined : bothWidths(undefined, (width) => dotPlot({ label: "Speed of sparse products", axis: "times as fast", reference, dots }, width))}
<details><summary>All ${cells.length} products</summary>
<p class="quiet">${method}</p>
<div class="scroll"><table>
<thead><tr><th>matrix</th><th class="right">tokens</th><th class="right">zeros</th><th>fastest dense</th><th class="right">ratio</th></tr></thead>
<tbody>${cells.map((cell) => html`<tr data-kernel="${cell.matrix} ${String(cell.tokens)}"><td>${cell.matrix}</td><td class="right">${String(cell.tokens)}</td><td class="right">${formatPercent(cell.sparsity)}</td><td>${cell.baseline}</td><td class="right">${times(cell.ratio)}</td></tr>`)}</tbody></table></div></details></section>`;
}

export function tokensText(tokens: number): string {
  return `${tokens} token${tokens === 1 ? "" : "s"}`;
}
