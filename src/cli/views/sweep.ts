/** What a sweep found: a row for the dense model and one for each point. */
import { formatError, formatPerplexity } from "../../core/figures.ts";
import { formatBytes, formatPercent } from "../../core/text.ts";
import type { SweepRecord } from "../../pipeline/sweep/record.ts";
import type { SweepReport } from "../../pipeline/sweep/sweep.ts";
import {
  type Cell,
  type Document,
  faint,
  good,
  lines,
  type Row,
  type Table,
} from "../output/document.ts";
import { counted, quoted, showBytes, showPercent } from "./words.ts";

export function sweepTable({ dense, points }: SweepRecord): Table {
  const rows: Row[] = [
    {
      method: "dense",
      allocation: null,
      pattern: null,
      asked_sparsity: null,
      sparsity: null,
      perplexity: dense.perplexity,
      stderr: dense.stderr,
      loss: dense.loss,
      delta: null,
      bytes: dense.model.files.reduce((sum, { bytes }) => sum + bytes, 0),
      prune_ms: null,
      evaluate_ms: dense.elapsed_ms,
      peak_memory_bytes: null,
      manifest_sha256: dense.model.manifest_sha256,
    },
    ...points.map((point): Row => {
      const { layers: _, name: __, engine: ___, statistics_sha256: ____, ...row } = point;
      const { checkpoint: _____, dense_bytes: ______, ...rest } = row;
      const owl = point.allocation === "owl" ? "+owl" : "";
      return { ...rest, method: `${point.method}${owl}` };
    }),
  ];
  const showPpl = (value: Cell): string => formatPerplexity(Number(value));
  const showAmount = (value: Cell): string => (value === "unstructured" ? "" : String(value ?? ""));
  const patterns = points.some(({ pattern }) => pattern !== "unstructured");
  return {
    columns: [
      { key: "method", title: "method" },
      { key: "allocation", title: "allocation", dataOnly: true },
      { key: "pattern", title: "pattern", show: showAmount, dataOnly: !patterns },
      { key: "asked_sparsity", title: "asked", align: "right", dataOnly: true },
      { key: "sparsity", title: "zeros", align: "right", show: showPercent },
      { key: "perplexity", title: "ppl", align: "right", show: showPpl },
      {
        key: "stderr",
        title: "±",
        align: "right",
        show: (value) => (value === null ? "" : formatError(dense.perplexity, Number(value))),
      },
      { key: "loss", title: "loss", align: "right", dataOnly: true },
      { key: "delta", title: "Δ", align: "right", show: showChange },
      { key: "bytes", title: "weights", align: "right", show: showBytes },
      { key: "prune_ms", title: "prune", dataOnly: true },
      { key: "evaluate_ms", title: "evaluate", dataOnly: true },
      { key: "peak_memory_bytes", title: "memory seen", dataOnly: true },
      { key: "manifest_sha256", title: "manifest", dataOnly: true },
    ],
    rows,
  };
}

function showChange(value: Cell): string {
  if (value === null) return "";
  const change = Number(value);
  return `${change < 0 ? "−" : "+"}${formatPercent(Math.abs(change))}`;
}

export function sweepDocument({ record, path, made }: SweepReport): Document {
  const { dense, calibration, points } = record;
  const known = points.length - made;
  return [
    lines(
      [
        `protocol ${dense.protocol} · window ${dense.ctx} · ${counted(dense.windows, "window")}, ` +
          `${counted(dense.scored, "token")} scored · text ${dense.dataset.path}`,
      ],
      ...(calibration === null
        ? []
        : [
            [
              `calibrated once on ${calibration.nsamples} × ${calibration.seqlen} tokens` +
                `${calibration.gram ? ", with Gram matrices" : ""} (${formatBytes(calibration.bytes)})`,
            ],
          ]),
    ),
    { kind: "table", table: sweepTable(record) },
    lines(
      [
        good("✓"),
        ` wrote ${path}: ${counted(points.length, "point")}`,
        ...(known > 0 ? [`, ${known} of them from before`] : []),
      ],
      [faint("  next: "), `spinfer report ${quoted(path)} -o report.html`],
    ),
  ];
}
