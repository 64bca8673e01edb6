/** One page that stands on its own: no script, no network, readable in any browser and on paper. */
import { formatPerplexity } from "../core/figures.ts";
import type { Fact, ReportData } from "./data.ts";
import { evaluationSection } from "./evaluationSection.ts";
import { kernelSection } from "./kernelSection.ts";
import { layerSection } from "./layerSection.ts";
import { html, Markup } from "./markup.ts";
import { speedSection } from "./speedSection.ts";
import { STYLE } from "./style.ts";
import { sweepSections } from "./sweepSections.ts";

export function htmlPage(data: ReportData): string {
  const { title, version, sweeps, evaluations, checkpoints, kernels, speeds } = data;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="SpInfer ${version}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
<header><h1>${title}</h1><p class="quiet">${subtitle(data)}</p></header>
${sweeps.map((sweep) => sweepSections(sweep, sweeps.length > 1))}
${evaluationSection(evaluations)}
${checkpoints.length === 0 ? undefined : layerSection(checkpoints)}
${kernels.map(kernelSection)}
${speeds.map(speedSection)}
${provenance(data)}
<footer>Written by SpInfer ${version}. Perplexities belong together only with the same text, tokenizer and protocol.</footer>
</main>
</body>
</html>
`;
  return page.text;
}

function subtitle({ sweeps, evaluations, kernels, speeds }: ReportData): string {
  const [sweep] = sweeps;
  const parts = [
    ...(sweep === undefined
      ? []
      : [
          `${sweep.protocol}`,
          `dense perplexity ${formatPerplexity(sweep.dense.perplexity)}`,
          `${sweep.points.length} pruned checkpoints`,
        ]),
    ...(evaluations.length === 0
      ? []
      : [`${evaluations.length} evaluation${evaluations.length === 1 ? "" : "s"}`]),
    ...new Set([...kernels, ...speeds].map(({ gpu }) => gpu)),
  ];
  return parts.join(" · ");
}

function provenance({ sweeps, evaluations, kernels, speeds }: ReportData): Markup {
  const lists = [
    ...sweeps.map(({ model, provenance: facts }) => [model, facts] as const),
    ...evaluations.map(({ model, provenance: facts }) => [model, facts] as const),
    ...[...kernels, ...speeds].map(({ gpu, provenance: facts }) => [gpu, facts] as const),
  ];
  if (lists.length === 0) return html``;
  return html`<section id="provenance"><h2>Provenance</h2>
<p class="quiet">What these figures were made from. Hashes are SHA-256.</p>
${lists.map(([name, facts]) => html`${lists.length > 1 ? html`<h3>${name}</h3>` : undefined}<dl>${facts.map(fact)}</dl>`)}
</section>`;
}

function fact([label, value]: Fact): Markup {
  const hash = /^[0-9a-f]{64}$/.test(value);
  return html`<dt>${label}</dt><dd${hash ? html` class="hash"` : undefined}>${value}</dd>`;
}
