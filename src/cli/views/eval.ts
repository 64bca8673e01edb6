/** What an evaluation found: the protocol, a row for each model, the gates. */

import { SpInferError } from "../../core/errors.ts";
import { formatError, formatPerplexity } from "../../core/figures.ts";
import { formatDuration, formatPercent } from "../../core/text.ts";
import { engineLabel } from "../../engine/engine.ts";
import type { EvalReport } from "../../eval/report.ts";
import type { Outcome } from "../outcome.ts";
import {
  bad,
  type Cell,
  type Document,
  faint,
  good,
  type Line,
  lines,
  type Row,
  type Table,
} from "../output/document.ts";
import { counted, showPercent } from "./words.ts";

type Gate = EvalReport["gates"][number];

/** How the process should end; undefined when every gate was passed. */
export function missedGate({ gates }: EvalReport): Outcome["failure"] {
  const missed = gates.find(({ passed }) => !passed);
  if (missed === undefined) return undefined;
  const error = new SpInferError("E_GATE", `gate ${missed.gate} was missed`, {
    found: gateValue(missed),
    hint: "prune less, or loosen the gate",
  });
  return { exit: error.exit, first: error.toRecord() };
}

export function evalTable(report: EvalReport): Table {
  const { base } = report;
  const beside = base !== null;
  const ran = base?.source === "model";
  const rows: Row[] = [];
  const shared = {
    protocol: report.protocol,
    ctx: report.ctx,
    stride: report.stride,
    windows: report.windows,
    scored: report.scored,
    dataset_sha256: report.dataset.sha256,
    tokenizer_sha256: report.tokenizer.sha256,
  };
  if (base !== null) {
    const { model, perplexity, stderr, loss } = base;
    rows.push({ model: model.path, sparsity: model.sparsity, perplexity, stderr, loss, ...shared });
  }
  const { model, perplexity, stderr, loss } = report;
  rows.push({
    model: model.path,
    sparsity: model.sparsity,
    perplexity,
    stderr,
    loss,
    delta: base?.delta ?? null,
    kl: base?.kl ?? null,
    agreement: base?.agreement ?? null,
    ...shared,
  });
  const known = rows.some(({ sparsity }) => sparsity !== null);
  return {
    columns: [
      { key: "model", title: "model" },
      { key: "sparsity", title: "zeros", align: "right", show: showPercent, dataOnly: !known },
      { key: "perplexity", title: "ppl", align: "right", show: (v) => formatPerplexity(Number(v)) },
      { key: "stderr", title: "±", align: "right", show: (v) => showError(v, perplexity) },
      { key: "loss", title: "loss", align: "right", dataOnly: true },
      { key: "delta", title: "Δ", align: "right", show: showChange, dataOnly: !beside },
      { key: "kl", title: "KL", align: "right", show: showKl, dataOnly: !ran },
      { key: "agreement", title: "same top", align: "right", show: showPercent, dataOnly: !ran },
      ...Object.keys(shared).map((key) => ({ key, title: key, dataOnly: true })),
    ],
    rows,
  };
}

function showError(value: Cell, perplexity: number): string {
  return value === null ? "" : formatError(perplexity, Number(value));
}

function showChange(value: Cell): string {
  if (value === null) return "";
  const change = Number(value);
  return `${change < 0 ? "−" : "+"}${formatPercent(Math.abs(change))}`;
}

const showKl = (value: Cell): string => (value === null ? "" : Number(value).toPrecision(3));

export function evalDocument(report: EvalReport, path: string | undefined): Document {
  return [
    lines(...heading(report)),
    { kind: "table", table: evalTable(report) },
    ...(report.gates.length === 0 ? [] : [lines(...report.gates.map(gateLine))]),
    lines(...closing(report, path)),
  ];
}

function heading(report: EvalReport): Line[] {
  const { protocol, ctx, stride, windows, scored, bos, dataset, tokenizer } = report;
  const overlap = protocol === "strided" ? ` · stride ${stride}` : "";
  return [
    [
      `protocol ${protocol} · window ${ctx}${overlap} · BOS ${bos} · ` +
        `${counted(windows, "window")}, ${counted(scored, "token")} scored`,
    ],
    [
      `text ${dataset.path} `,
      faint(`sha256 ${short(dataset.sha256)}`),
      " · tokenizer ",
      faint(`sha256 ${short(tokenizer.sha256)}`),
    ],
  ];
}

function short(sha256: string): string {
  return `${sha256.slice(0, 12)}…`;
}

function gateLine(gate: Gate): Line {
  const mark = gate.passed ? good("✓") : bad("✗");
  return [mark, ` gate ${gate.gate}: ${gateValue(gate)}`];
}

/** The figure that the gate is about, in its unit. */
function gateValue({ gate, value }: Gate): string {
  if (gate.startsWith("kl")) return showKl(value);
  if (!gate.endsWith("%")) return formatPerplexity(value);
  return gate.startsWith("ppl") ? showChange(value) : formatPercent(value);
}

function closing(
  { engine, instructions, elapsed_ms, base }: EvalReport,
  path: string | undefined,
): Line[] {
  const deltaError = base?.delta_stderr ?? null;
  return [
    ...(deltaError === null ? [] : [[faint(`  Δ is ± ${formatPercent(deltaError)}`)]]),
    [faint(`  ${engineLabel({ engine, instructions })} in ${formatDuration(elapsed_ms)}`)],
    ...(path === undefined ? [] : [[good("✓"), ` wrote ${path}`]]),
  ];
}
