/** A sweep on the page: what it says at a glance, its curves, every figure, layers, time and memory. */
import { formatPerplexity } from "../core/figures.ts";
import { formatBytes, formatDuration, formatPercent } from "../core/text.ts";
import type { PointData, SweepData } from "./data.ts";
import { type Dot, dotPlot } from "./dotPlot.ts";
import { type Amount, amountName, amountsOf, curveOf, mean, methodsOf } from "./findings.ts";
import { layerSection } from "./layerSection.ts";
import { lineChart, type Series } from "./lineChart.ts";
import { html, type Markup } from "./markup.ts";
import { colourClass } from "./series.ts";
import { COSTS_NOTE, change, estimate, MEMORY_COLUMN } from "./words.ts";

/** Of the text, and of a phone. */
export const WIDE = 912;
export const NARROW = 340;
const MOST_TILES = 7;
/** More rows than these are folded away; the table of methods says the same in less. */
const MOST_ROWS = 8;
/** Two points make no curve: methods in rows tell more. */
const LEAST_OF_CURVE = 3;

export function sweepSections(sweep: SweepData, several: boolean): Markup {
  return html`<section data-sweep="${sweep.model}">
${several ? html`<h2>${sweep.model}</h2>` : undefined}
${tiles(sweep)}
<h2>Perplexity against sparsity</h2>
<p class="quiet">Lower is better. Each point is a pruned checkpoint, evaluated like the dense model.</p>
${curves(sweep)}
${patternPlots(sweep)}
${methodTable(sweep)}
${pointTable(sweep)}
${sweep.maps.length === 0 ? undefined : layerSection(sweep.maps)}
${costs(sweep)}
</section>`;
}

/** Drawn twice: a picture that is shrunk to a phone cannot be read. */
export function bothWidths(caption: string | undefined, draw: (width: number) => Markup): Markup {
  return html`<figure>${caption === undefined ? undefined : html`<figcaption>${caption}</figcaption>`}<div class="wide scroll">${draw(WIDE)}</div><div class="narrow scroll">${draw(NARROW)}</div></figure>`;
}

function tiles(sweep: SweepData): Markup {
  const { dense } = sweep;
  const amounts = amountsOf(sweep);
  const several = methodsOf(sweep).length > 1;
  const shown = amounts.length <= MOST_TILES ? amounts : middle(amounts);
  return html`<ul class="tiles">
<li><span class="name">dense</span><span class="figure">${formatPerplexity(dense.perplexity)}</span><span class="more">perplexity</span><span class="more">${formatBytes(dense.bytes)}</span></li>
${shown.map(
  ({ name, best }) =>
    html`<li><span class="name">${best.pattern === undefined ? `${name} zeros` : name}</span><span class="figure">${formatPerplexity(best.perplexity)}</span><span class="more">${change(best.delta)}</span>${several ? html`<span class="more">best: ${best.method}</span>` : undefined}<span class="more">size ${formatPercent(best.bytes / best.denseBytes)}</span></li>`,
)}
</ul>`;
}

/** Evenly taken from a long list, its ends among them. */
function middle(amounts: readonly Amount[]): readonly Amount[] {
  const step = (amounts.length - 1) / (MOST_TILES - 1);
  return Array.from({ length: MOST_TILES }, (_, i) => amounts[Math.round(i * step)]!);
}

function curves(sweep: SweepData): Markup | undefined {
  const series = methodsOf(sweep)
    .map((name, index): Series => ({ name, index, points: curveOf(sweep, name) }))
    .filter(({ points }) => points.length > 1);
  if (series.some(({ points }) => points.length >= LEAST_OF_CURVE)) {
    return bothWidths(undefined, (width) => lineChart(series, sweep.dense, width));
  }
  return html`${amountsOf(sweep)
    .filter(({ best }) => best.pattern === undefined)
    .map((amount) => amountPlot(amount, sweep))}`;
}

function patternPlots(sweep: SweepData): Markup {
  const patterns = amountsOf(sweep).filter(({ best }) => best.pattern !== undefined);
  return html`${patterns.map((amount) => amountPlot(amount, sweep))}`;
}

/** The methods at one sparsity or pattern, the best first. */
function amountPlot({ name, points }: Amount, sweep: SweepData): Markup {
  const methods = methodsOf(sweep);
  const dots = [...points]
    .sort((a, b) => a.perplexity - b.perplexity)
    .map(
      (point): Dot => ({
        row: point.method,
        index: methods.indexOf(point.method),
        value: point.perplexity,
        shown: formatPerplexity(point.perplexity),
        title: `${point.method} at ${name}: ${estimate(point)}`,
      }),
    );
  const reference = { value: sweep.dense.perplexity, name: "dense" };
  return bothWidths(`Methods at ${name}`, (width) =>
    dotPlot({ label: `Perplexity at ${name}`, axis: "perplexity", reference, dots }, width),
  );
}

/** A row for each method, a column for each sparsity. */
function methodTable(sweep: SweepData): Markup {
  const amounts = amountsOf(sweep);
  const cell = ({ points, best }: Amount, method: string): Markup => {
    const point = points.find((one) => one.method === method);
    if (point === undefined) return html`<td></td>`;
    const figure = formatPerplexity(point.perplexity);
    const shown = point === best && points.length > 1 ? html`<strong>${figure}</strong>` : figure;
    return html`<td class="right">${shown}<br><span class="quiet">${change(point.delta)}</span></td>`;
  };
  return html`<div class="scroll"><table id="methods">
<thead><tr><th>perplexity</th>${amounts.map(({ name }) => html`<th class="right">${name}</th>`)}</tr></thead>
<tbody>${methodsOf(sweep).map((method, i) => html`<tr data-method="${method}"><td><span class="swatch ${colourClass(i)}"></span>${method}</td>${amounts.map((amount) => cell(amount, method))}</tr>`)}</tbody></table></div>`;
}

function pointTable(sweep: SweepData): Markup {
  const methods = methodsOf(sweep);
  const amounts = amountsOf(sweep);
  const rows = amounts.flatMap(({ points, best }) =>
    points.map((point, i) => pointRow(point, point === best, i === points.length - 1, methods)),
  );
  const { dense } = sweep;
  const open = rows.length <= MOST_ROWS;
  return html`<details class="points"${open ? html` open` : undefined}><summary>All points, with sizes</summary><div class="scroll"><table id="points">
<thead><tr><th>zeros</th><th>method</th><th class="right">perplexity</th><th class="right">against dense</th><th class="right">weights</th><th class="right">of dense</th></tr></thead>
<tbody>
<tr class="group"><td>none</td><td>dense</td><td class="right">${estimate(dense)}</td><td></td><td class="right">${formatBytes(dense.bytes)}</td><td></td></tr>
${rows}
</tbody></table></div><p class="quiet">The dense model has the size of its files, whatever they hold; shares are of the same tensors, stored dense in the dtype of the pruned checkpoint.</p></details>`;
}

function pointRow(
  point: PointData,
  best: boolean,
  last: boolean,
  methods: readonly string[],
): Markup {
  const { method, sparsity, pattern, delta, bytes, denseBytes } = point;
  const zeros =
    pattern === undefined ? formatPercent(sparsity) : `${pattern}, ${formatPercent(sparsity)}`;
  const figure = estimate(point);
  return html`<tr${last ? html` class="group"` : undefined} data-point="${method} ${amountName(point)}" data-perplexity="${String(point.perplexity)}" data-bytes="${String(bytes)}"><td>${zeros}</td><td><span class="swatch ${colourClass(methods.indexOf(method))}"></span>${method}</td><td class="right">${best ? html`<strong>${figure}</strong>` : figure}</td><td class="right">${change(delta)}</td><td class="right">${formatBytes(bytes)}</td><td class="right">${formatPercent(bytes / denseBytes)}</td></tr>`;
}

interface Cost {
  readonly name: string;
  readonly colour: string;
  readonly pruneMs: number | undefined;
  readonly evaluateMs: number | undefined;
  readonly peakBytes: number;
}

function costs(sweep: SweepData): Markup {
  const { dense, calibration } = sweep;
  const methods = methodsOf(sweep);
  const rows: Cost[] = [
    {
      name: "dense",
      colour: "",
      pruneMs: undefined,
      evaluateMs: dense.evaluateMs,
      peakBytes: dense.peakBytes,
    },
    ...(calibration === undefined
      ? []
      : [
          {
            ...{ name: "calibration, once", colour: "", pruneMs: calibration.ms },
            ...{ evaluateMs: undefined, peakBytes: calibration.peakBytes },
          },
        ]),
    ...methods.map((name, i): Cost => {
      const points = sweep.points.filter(({ method }) => method === name);
      return {
        name,
        colour: colourClass(i),
        pruneMs: mean(points.map(({ pruneMs }) => pruneMs)),
        evaluateMs: mean(points.map(({ evaluateMs }) => evaluateMs)),
        peakBytes: Math.max(...points.map(({ peakBytes }) => peakBytes)),
      };
    }),
  ];
  const longest = Math.max(...rows.map(({ pruneMs }) => pruneMs ?? 0));
  const largest = Math.max(...rows.map(({ peakBytes }) => peakBytes));
  return html`<h2>Time and memory</h2>
<p class="quiet">${COSTS_NOTE}</p>
<div class="scroll"><table id="costs">
<thead><tr><th></th><th class="right">prune</th><th class="bar"></th><th class="right">evaluate</th><th class="right">${MEMORY_COLUMN}</th><th class="bar"></th></tr></thead>
<tbody>${rows.map(({ name, colour, pruneMs, evaluateMs, peakBytes }) => html`<tr><td>${name}</td><td class="right">${shownTime(pruneMs)}</td>${bar((pruneMs ?? 0) / longest, colour)}<td class="right">${shownTime(evaluateMs)}</td><td class="right">${formatBytes(peakBytes)}</td>${bar(peakBytes / largest, colour)}</tr>`)}</tbody>
</table></div>`;
}

const shownTime = (ms: number | undefined): string => (ms === undefined ? "" : formatDuration(ms));

function bar(share: number, colour: string): Markup {
  if (!(share > 0)) return html`<td class="bar"></td>`;
  return html`<td class="bar"><span class="fill ${colour}" style="width:${share * 100}%"></span></td>`;
}
