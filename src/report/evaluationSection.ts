/** Single evaluations on the page, beside what each was compared with. */
import { formatPercent } from "../core/text.ts";
import type { EvaluationData } from "./data.ts";
import { html, type Markup } from "./markup.ts";
import { change, estimate } from "./words.ts";

export function evaluationSection(evaluations: readonly EvaluationData[]): Markup | undefined {
  if (evaluations.length === 0) return undefined;
  return html`<section id="evaluations"><h2>Evaluations</h2>
<div class="scroll"><table>
<thead><tr><th>model</th><th class="right">zeros</th><th class="right">perplexity</th><th class="right">base</th><th class="right">against base</th><th class="right">KL</th><th class="right">same top token</th><th>gates</th></tr></thead>
<tbody>${evaluations.map(row)}</tbody></table></div></section>`;
}

function row(evaluation: EvaluationData): Markup {
  const { model, protocol, sparsity, base, gates } = evaluation;
  return html`<tr data-evaluation="${model}"><td class="wrap">${model}<br><span class="quiet">${protocol}</span></td><td class="right">${sparsity === null ? "" : formatPercent(sparsity)}</td><td class="right"><strong>${estimate(evaluation)}</strong></td><td class="right">${base === undefined ? "" : estimate(base)}</td><td class="right">${base === undefined ? "" : change(base.delta)}</td><td class="right">${base?.kl === null || base === undefined ? "" : base.kl.toPrecision(3)}</td><td class="right">${base?.agreement === null || base === undefined ? "" : formatPercent(base.agreement)}</td><td>${gates.map(({ gate, passed }) => html`<span class="${passed ? "good" : "bad"}">${passed ? "✓" : "✗"} ${gate}</span><br>`)}</td></tr>`;
}
