/** The pruned matrices of a checkpoint, kinds down and blocks across, darker for more. */
import { formatBytes, formatPercent } from "../core/text.ts";
import type { LayerCell, LayerMap } from "./data.ts";
import { html, type Markup } from "./markup.ts";
import { LETTER } from "./series.ts";

const ROW = 24;
/** Blocks get what room there is, between these. */
const LEAST_CELL = 9;
const MOST_CELL = 64;
const TEXT_CELL = 54;
/** What the key under a map takes. */
const KEY = 190;
/** The shade of the least and of the most; with figures on it a cell stays pale enough to read them. */
const PALE = 0.08;
const DARK = 0.9;
const READABLE = 0.42;
/** Differences below this are not shown as if they meant something. */
const LEAST_SPAN = 0.1;

export interface Measure {
  readonly name: string;
  readonly range: readonly [least: number, most: number];
  value(cell: LayerCell): number;
  show(value: number): string;
}

export function sparsityMeasure({ cells }: LayerMap): Measure {
  const values = cells.map(({ sparsity }) => sparsity);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const missing = Math.max(0, LEAST_SPAN - (most - least)) / 2;
  return {
    name: "zeros",
    range: [Math.max(0, least - missing), Math.min(1, most + missing)],
    value: ({ sparsity }) => sparsity,
    show: formatPercent,
  };
}

export function bytesMeasure({ cells }: LayerMap): Measure {
  return {
    name: "bytes",
    range: [0, Math.max(...cells.map(({ bytes }) => bytes))],
    value: ({ bytes }) => bytes,
    show: formatBytes,
  };
}

export function heatMap({ title, cells }: LayerMap, measure: Measure, width: number): Markup {
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const blocks = [...new Set(cells.map(({ block }) => block))].sort((a, b) => a - b);
  const left = Math.max(...kinds.map(({ length }) => length)) * LETTER + 10;
  const room = (width - left - 2) / blocks.length;
  const size = Math.min(MOST_CELL, Math.max(LEAST_CELL, room));
  const whole = left + Math.max(blocks.length * size, KEY) + 2;
  const top = 4;
  const bottom = top + kinds.length * ROW;
  const written = size >= TEXT_CELL;
  const shade = shadeOf(measure.range, written ? READABLE : DARK);
  const every = Math.ceil(26 / size);
  return html`<svg class="map" viewBox="0 0 ${whole} ${bottom + 44}" width="${whole}" height="${bottom + 44}" role="img"
    aria-label="${measure.name} of each matrix, ${title}">
    ${kinds.map((kind, row) => html`<text class="label" x="${left - 8}" y="${top + row * ROW + 16}" text-anchor="end">${kind}</text>`)}
    ${cells.map((cell) => {
      const x = left + blocks.indexOf(cell.block) * size;
      const y = top + kinds.indexOf(cell.kind) * ROW;
      const value = measure.value(cell);
      const shown = measure.show(value);
      const text = html`<text class="cell" x="${x + size / 2}" y="${y + 16}" text-anchor="middle">${shown}</text>`;
      return html`<g data-cell="${cell.block}.${cell.kind}"><rect class="heat" x="${x}" y="${y}" width="${size - 1}" height="${ROW - 1}" fill-opacity="${shade(value)}"><title>block ${cell.block} ${cell.kind}: ${shown}</title></rect>${written ? text : undefined}</g>`;
    })}
    ${blocks.map((block, i) =>
      i % every === 0
        ? html`<text class="tick" x="${left + (i + 0.5) * size}" y="${bottom + 16}" text-anchor="middle">${String(block)}</text>`
        : undefined,
    )}
    ${key(measure, shade, left, bottom + 30)}
  </svg>`;
}

function shadeOf([least, most]: readonly [number, number], darkest: number) {
  return (value: number): number =>
    PALE + (most === least ? 0.5 : (value - least) / (most - least)) * (darkest - PALE);
}

/** Five steps from the least to the most. */
function key(
  { range: [least, most], show }: Measure,
  shade: (value: number) => number,
  x: number,
  y: number,
): Markup {
  const [from, to] = [show(least), show(most)];
  const begin = x + from.length * LETTER;
  const steps = [0, 1, 2, 3, 4].map((i) => least + ((most - least) * i) / 4);
  return html`<text class="tick" x="${begin - 6}" y="${y + 10}" text-anchor="end">${from}</text>${steps.map(
    (value, i) =>
      html`<rect class="heat" x="${begin + i * 18}" y="${y}" width="17" height="11" fill-opacity="${shade(value)}"/>`,
  )}<text class="tick" x="${begin + 96}" y="${y + 10}">${to}</text>`;
}
