/** Values in rows, each a mark on a shared axis with its value beside it. Drawn for one width. */
import { html, type Markup } from "./markup.ts";
import { logScale } from "./scale.ts";
import { LETTER, mark } from "./series.ts";

const ROW = 26;

export interface Dot {
  readonly row: string;
  readonly index: number;
  readonly value: number;
  readonly shown: string;
  readonly title: string;
}

export interface DotPlot {
  readonly label: string;
  readonly axis: string;
  /** Drawn as an upright line through all rows. */
  readonly reference: { readonly value: number; readonly name: string };
  readonly dots: readonly Dot[];
}

export function dotPlot({ label, axis, reference, dots }: DotPlot, width: number): Markup {
  const top = 24;
  const bottom = top + dots.length * ROW;
  const height = bottom + 46;
  const left = Math.max(...dots.map(({ row }) => row.length)) * LETTER + 14;
  const right = width - Math.max(...dots.map(({ shown }) => shown.length)) * LETTER - 18;
  const values = [reference.value, ...dots.map(({ value }) => value)];
  const [lowest, highest] = [Math.min(...values), Math.max(...values)];
  const pad = Math.max((highest / lowest) ** 0.06, 1.01);
  const x = logScale(lowest / pad, highest * pad, left, right);
  const at = x.at(reference.value);
  // a name that is centred on the line must not leave the picture
  const half = (reference.name.length * LETTER) / 2;
  const nameAt = Math.min(Math.max(at, half), width - half);
  const ticks = thinned(x.ticks, (tick) => x.at(tick));
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${label}">
    ${ticks.map((tick) => html`<line class="grid" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${top}" y2="${bottom}"/><text class="tick" x="${x.at(tick)}" y="${bottom + 18}" text-anchor="middle">${tick}</text>`)}
    <text class="title" x="${(left + right) / 2}" y="${height - 6}" text-anchor="middle">${axis}</text>
    <line class="dense" x1="${at}" x2="${at}" y1="${top}" y2="${bottom}"/>
    <text class="label quiet" x="${nameAt}" y="14" text-anchor="middle">${reference.name}</text>
    ${dots.map((dot, i) => {
      const y = top + (i + 0.5) * ROW;
      const px = x.at(dot.value);
      return html`<g data-row="${dot.row}"><text class="label" x="${left - 12}" y="${y + 4}" text-anchor="end">${dot.row}</text><line class="stem" x1="${at}" x2="${px}" y1="${y}" y2="${y}"/>${mark(dot.index, px, y, dot.title)}<text class="tick" x="${Math.max(px, at) + 12}" y="${y + 4}">${dot.shown}</text></g>`;
    })}
  </svg>`;
}

/** Ticks whose texts do not touch. */
function thinned(ticks: readonly number[], at: (tick: number) => number): readonly number[] {
  const kept: number[] = [];
  for (const tick of ticks) {
    const before = kept.at(-1);
    const needed = (String(tick).length + String(before ?? "").length) * (LETTER / 2) + 10;
    if (before === undefined || at(tick) - at(before) >= needed) kept.push(tick);
  }
  return kept;
}
