/** The style sheet of a page. Colours are named once for each theme; printing is always light. */

const LIGHT = `
  --paper: #ffffff; --raised: #f6f7f9; --ink: #1b2430; --quiet: #5b6675; --rule: #dde2e8;
  --accent: #1f5fbf; --good: #1a7f4b; --bad: #b42318;
  --s0: #5b6675; --s1: #1f6feb; --s2: #c2500a; --s3: #0f7f74; --s4: #7d3fc8; --s5: #c02668;
  --s6: #6b7f0c; --s7: #96601a;`;

const DARK = `
  --paper: #12161c; --raised: #1a2028; --ink: #e4e8ee; --quiet: #98a4b3; --rule: #2c343f;
  --accent: #6ea8ff; --good: #4cc38a; --bad: #ff8b7e;
  --s0: #a3afbd; --s1: #6ea8ff; --s2: #ff9b54; --s3: #3fcfbf; --s4: #bf93ff; --s5: #ff82b2;
  --s6: #bccf4a; --s7: #e0b060;`;

export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { @media screen { :root { ${DARK} } } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 48px 24px 72px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 20px; line-height: 1.3; letter-spacing: -0.01em; margin: 56px 0 6px; overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 32px 0 4px; overflow-wrap: anywhere; }
p { margin: 4px 0 12px; max-width: 68ch; overflow-wrap: anywhere; }
header p { max-width: none; }
.quiet { color: var(--quiet); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(116px, 1fr)); gap: 10px; margin: 28px 0 8px; padding: 0; list-style: none; }
.tiles li { background: var(--raised); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 14px; }
.tiles .name { display: block; color: var(--quiet); font-size: 14px; }
.tiles .figure { display: block; font-size: 26px; font-weight: 600; line-height: 1.25; letter-spacing: -0.01em; font-variant-numeric: tabular-nums; }
.tiles .more { display: block; color: var(--quiet); font-size: 14px; }
figure { margin: 16px 0; }
.maps figure { max-width: 100%; }
figcaption { font-size: 14px; color: var(--quiet); margin-bottom: 4px; }
.scroll { overflow-x: auto; }
svg { display: block; }
svg text { font-size: 13px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .tick, svg .title { fill: var(--quiet); }
svg .label.quiet { fill: var(--quiet); }
svg .grid { stroke: var(--rule); }
svg .axis { stroke: var(--quiet); }
svg .dense { stroke: var(--quiet); stroke-dasharray: 5 4; }
svg .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
svg .leader { fill: none; stroke: var(--c); opacity: 0.5; }
svg .stem { stroke: var(--rule); stroke-width: 2; }
svg .mark { fill: var(--c); stroke: var(--paper); stroke-width: 1.5; }
svg .label[class*=" s"] { fill: var(--c); font-weight: 600; }
svg .heat { fill: var(--accent); }
svg .cell { font-size: 12px; }
${Array.from({ length: 8 }, (_, i) => `.s${i} { --c: var(--s${i}); }`).join(" ")}
.maps { display: flex; flex-wrap: wrap; gap: 4px 40px; }
.narrow { display: none; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--quiet); font-size: 13px; border-bottom: 1px solid var(--quiet); padding: 6px 10px 6px 0; white-space: nowrap; vertical-align: bottom; }
td { border-bottom: 1px solid var(--rule); padding: 6px 10px 6px 0; vertical-align: top; white-space: nowrap; }
th.right, td.right { text-align: right; }
tr.group td { border-bottom-color: var(--quiet); }
details.points { margin-top: 20px; }
td.wrap { white-space: normal; min-width: 170px; overflow-wrap: anywhere; }
td .swatch { display: inline-block; width: 10px; height: 10px; border-radius: 3px; background: var(--c); margin-right: 8px; }
td.bar { min-width: 110px; width: 18%; }
td .fill { display: block; height: 8px; margin-top: 8px; border-radius: 2px; background: var(--c, var(--rule)); opacity: 0.85; }
td strong { font-weight: 700; }
details { border-top: 1px solid var(--rule); padding: 8px 0; }
details:last-of-type { border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(120px, max-content) 1fr; gap: 2px 20px; font-size: 14.5px; margin: 12px 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
.hash { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.good { color: var(--good); } .bad { color: var(--bad); }
footer { margin-top: 64px; padding-top: 12px; border-top: 1px solid var(--rule); font-size: 14px; color: var(--quiet); }
@media (max-width: 760px) {
  main { padding: 28px 16px 48px; }
  h1 { font-size: 25px; }
  .wide { display: none; } .narrow { display: block; }
  th.bar, td.bar { display: none; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: 8px; }
}
@media print {
  main { max-width: none; padding: 0; }
  h2, h3, figcaption { break-after: avoid; }
  figure, .tiles li, tr, details { break-inside: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
`;
