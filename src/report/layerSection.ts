/** Where the zeros are, and what is left: heat maps of zeros and bytes, one pair a checkpoint. */
import { groupBy } from "../core/groupBy.ts";
import type { LayerMap } from "./data.ts";
import { bytesMeasure, heatMap, sparsityMeasure } from "./heatMap.ts";
import { html, type Markup } from "./markup.ts";

const WIDE = 912;
const NARROW = 340;
/** Maps whose sparsities nowhere differ by more are shown once. */
const ALIKE = 0.005;

export function layerSection(maps: readonly LayerMap[]): Markup {
  const shown = withoutTwins(maps);
  const open = Math.floor((shown.length - 1) / 2);
  return html`<h2>Zeros and bytes by layer</h2>
<p class="quiet">Kinds of matrices down, blocks across. Checkpoints with the same zeros everywhere are shown once.</p>
${shown.map((map, i) => html`<details${i === open ? html` open` : undefined}><summary>${map.title}</summary>${pair(map)}</details>`)}`;
}

function pair(map: LayerMap): Markup {
  const draw = (width: number): Markup =>
    html`<figure><figcaption>zeros</figcaption><div class="scroll">${heatMap(map, sparsityMeasure(map), width)}</div></figure><figure><figcaption>bytes</figcaption><div class="scroll">${heatMap(map, bytesMeasure(map), width)}</div></figure>`;
  return html`<div class="wide"><div class="maps">${draw(WIDE)}</div></div><div class="narrow">${draw(NARROW)}</div>`;
}

function withoutTwins(maps: readonly LayerMap[]): readonly LayerMap[] {
  const kept: { readonly map: LayerMap; readonly twins: LayerMap[] }[] = [];
  for (const map of maps) {
    if (map.cells.length === 0) continue;
    const twin = kept.find((other) => areAlike(other.map, map));
    if (twin === undefined) kept.push({ map, twins: [map] });
    else twin.twins.push(map);
  }
  return kept.map(({ map, twins }) => ({ ...map, title: titleOf(twins) }));
}

/** "50 %: magnitude, wanda · 2:4: wanda" */
function titleOf(twins: readonly LayerMap[]): string {
  return [...groupBy(twins, ({ amount }) => amount ?? "")]
    .map(([amount, maps]) => {
      const titles = maps.map(({ title }) => title).join(", ");
      return amount === "" ? titles : `${amount}: ${titles}`;
    })
    .join(" · ");
}

function areAlike(a: LayerMap, b: LayerMap): boolean {
  return (
    a.cells.length === b.cells.length &&
    a.cells.every((cell, i) => {
      const other = b.cells[i]!;
      const same = cell.kind === other.kind && cell.block === other.block;
      return same && Math.abs(cell.sparsity - other.sparsity) <= ALIKE;
    })
  );
}
