/** Perplexity against sparsity: a line for each method, named at its end. Drawn for one width. */
import { formatEstimate, formatPerplexity } from "../core/figures.ts";
import { formatPercent } from "../core/text.ts";
import type { PerplexityData, PointData } from "./data.ts";
import { html, type Markup } from "./markup.ts";
import { linearScale, logScale, type Scale, spread } from "./scale.ts";
import { colourClass, LETTER, mark } from "./series.ts";

/** Between the names of lines. */
const LINE = 16;
const NARROW = 480;

export interface Series {
  readonly name: string;
  /** In the order of all methods of the page. */
  readonly index: number;
  /** By rising sparsity; more than one. */
  readonly points: readonly PointData[];
}

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly x: Scale;
  readonly y: Scale;
}

export function lineChart(series: readonly Series[], dense: PerplexityData, width: number): Markup {
  const height = width < NARROW ? 320 : 400;
  const frame = frameOf(series, dense, width, height);
  const { left, right, bottom, y } = frame;
  const denseY = y.at(dense.perplexity);
  const said = series.map(({ name }) => name).join(", ");
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img"
    aria-label="Perplexity against sparsity of ${said}">
    <text class="title" x="0" y="14">perplexity</text>
    ${y.ticks.map((tick) => horizontal(tick, frame))}
    ${frame.x.ticks.map((tick) => vertical(tick, frame))}
    <line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
    <text class="title" x="${(left + right) / 2}" y="${height - 6}" text-anchor="middle">zeros in pruned matrices</text>
    <line class="dense" x1="${left}" x2="${right}" y1="${denseY}" y2="${denseY}"/>
    ${series.map((one) => line(one, frame))}
    ${labels(series, dense, frame)}
  </svg>`;
}

function frameOf(
  series: readonly Series[],
  dense: PerplexityData,
  width: number,
  height: number,
): Frame {
  const points = series.flatMap(({ points: list }) => list);
  const perplexities = [dense.perplexity, ...points.map(({ perplexity }) => perplexity)];
  const sparsities = points.map(({ sparsity }) => sparsity);
  const [lowest, highest] = [Math.min(...perplexities), Math.max(...perplexities)];
  const pad = (highest / lowest) ** 0.06;
  const top = 30;
  const bottom = height - 50;
  const y = logScale(lowest / pad, highest * pad, bottom, top);
  const longest = Math.max(...y.ticks.map((tick) => tickText(tick).length));
  const left = Math.max(34, longest * LETTER + 12);
  const names = [...series.map(({ name }) => name), "dense"];
  const right = width - Math.max(...names.map(({ length }) => length)) * LETTER - 26;
  const [first, last] = [Math.min(...sparsities), Math.max(...sparsities)];
  const margin = (last - first) * 0.04;
  const x = linearScale(first - margin, last + margin, left, right, width < NARROW ? 4 : 6);
  return { left, right, top, bottom, x, y };
}

/** Perplexities on an axis need few digits. */
function tickText(value: number): string {
  return value >= 10_000 ? value.toExponential(0).replace("e+", "e") : String(value);
}

function horizontal(value: number, { left, right, y }: Frame): Markup {
  const at = y.at(value);
  return html`<line class="grid" x1="${left}" x2="${right}" y1="${at}" y2="${at}"/><text class="tick" x="${left - 8}" y="${at + 4}" text-anchor="end">${tickText(value)}</text>`;
}

function vertical(value: number, { bottom, x }: Frame): Markup {
  const at = x.at(value);
  return html`<line class="axis" x1="${at}" x2="${at}" y1="${bottom}" y2="${bottom + 5}"/><text class="tick" x="${at}" y="${bottom + 20}" text-anchor="middle">${formatPercent(value)}</text>`;
}

function line({ name, index, points }: Series, { x, y }: Frame): Markup {
  const places = points.map((point) => [x.at(point.sparsity), y.at(point.perplexity)] as const);
  const path = places.map(([px, py]) => `${px.toFixed(2)} ${py.toFixed(2)}`).join("L");
  return html`<g data-method="${name}"><path class="line ${colourClass(index)}" d="M${path}"/>${points.map(
    (point, i) => {
      const { perplexity, stderr, sparsity } = point;
      const value = formatEstimate({ mean: perplexity, stderr: stderr ?? undefined });
      const [px, py] = places[i]!;
      return mark(index, px, py, `${name}, ${formatPercent(sparsity)} zeros: ${value}`);
    },
  )}</g>`;
}

/** At the ends of the lines, moved apart, with a thin line from where they were moved. */
function labels(series: readonly Series[], dense: PerplexityData, frame: Frame): Markup {
  const { right, top, bottom, x, y } = frame;
  const ends = series.map(({ points }) => points.at(-1)!);
  const wanted = [...ends.map(({ perplexity }) => y.at(perplexity)), y.at(dense.perplexity)];
  const placed = spread(wanted, LINE, top, bottom);
  const at = right + 18;
  const named = series.map(({ name, index }, i) => {
    const from = x.at(ends[i]!.sparsity) + 7;
    return html`<path class="leader ${colourClass(index)}" d="M${from} ${wanted[i]}L${at - 4} ${placed[i]}"/><text class="label ${colourClass(index)}" x="${at}" y="${placed[i]! + 4}">${name}</text>`;
  });
  const own = placed.at(-1)!;
  return html`${named}<text class="label quiet" x="${at}" y="${own + 4}"><title>${formatPerplexity(dense.perplexity)}</title>dense</text>`;
}
