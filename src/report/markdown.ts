/** The same figures as Markdown. */
import { formatBytes, formatDuration, formatPercent, printable } from "../core/text.ts";
import type {
  EvaluationData,
  Fact,
  KernelData,
  LayerMap,
  ReportData,
  SpeedData,
  SweepData,
} from "./data.ts";
import { amountsOf, mean, methodsOf } from "./findings.ts";
import { otherSpeeds, SPEED_HEADS, SPEED_METHOD, speedRows } from "./speedSection.ts";
import { change, estimate, times } from "./words.ts";

export function markdownPage(data: ReportData): string {
  const { title, version, sweeps, evaluations, checkpoints, kernels, speeds } = data;
  const parts = [
    `# ${plain(title)}`,
    ...sweeps.flatMap(sweepParts),
    ...(evaluations.length === 0 ? [] : ["## Evaluations", evaluationTable(evaluations)]),
    ...checkpoints.flatMap((map) => [`## Layers of ${plain(map.title)}`, layerTable(map)]),
    ...kernels.flatMap(kernelParts),
    ...speeds.flatMap(speedParts),
    ...provenanceParts(data),
    `Written by SpInfer ${plain(version)}.`,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** What would become markup, in the middle of a line or of a cell. */
export function plain(text: string): string {
  return printable(text, 2000).replace(/[\\`*_{}[\]<>|#~]/g, (char) => `\\${char}`);
}

/** Rows of finished cells; columns after the first `left` are numbers. */
export function table(
  heads: readonly string[],
  left: number,
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = heads.map((_, i) => (i < left ? "---" : "---:"));
  return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

function sweepParts(sweep: SweepData): string[] {
  return [
    `## Perplexity of ${plain(sweep.model)}`,
    `${plain(sweep.protocol)}. Dense: ${estimate(sweep.dense)}, ${formatBytes(sweep.dense.bytes)}.`,
    perplexityTable(sweep),
    "## Sizes",
    sizeTable(sweep),
    "## Time and memory",
    costTable(sweep),
  ];
}

/** A row for each method, a column for each sparsity. */
function perplexityTable(sweep: SweepData): string {
  const amounts = amountsOf(sweep);
  const rows = methodsOf(sweep).map((method) => [
    plain(method),
    ...amounts.map(({ points, best }) => {
      const point = points.find((one) => one.method === method);
      if (point === undefined) return "";
      const shown = `${estimate(point)} (${change(point.delta)})`;
      return point === best && points.length > 1 ? `**${shown}**` : shown;
    }),
  ]);
  return table(["method", ...amounts.map(({ name }) => name)], 1, rows);
}

function sizeTable(sweep: SweepData): string {
  const rows = amountsOf(sweep).map(({ name, points }) => {
    const bytes = mean(points.map((point) => point.bytes));
    const share = mean(points.map((point) => point.bytes / point.denseBytes));
    return [name, formatBytes(Math.round(bytes)), formatPercent(share)];
  });
  return table(["zeros", "weights", "of dense"], 1, rows);
}

function costTable({ points, calibration, dense, ...sweep }: SweepData): string {
  const rows = methodsOf({ points, dense, ...sweep }).map((method) => {
    const own = points.filter((point) => point.method === method);
    return [
      plain(method),
      formatDuration(mean(own.map(({ pruneMs }) => pruneMs))),
      formatDuration(mean(own.map(({ evaluateMs }) => evaluateMs))),
      formatBytes(Math.max(...own.map(({ peakBytes }) => peakBytes))),
    ];
  });
  const before = [
    ["dense", "", formatDuration(dense.evaluateMs), formatBytes(dense.peakBytes)],
    ...(calibration === undefined
      ? []
      : [
          [
            "calibration, once",
            formatDuration(calibration.ms),
            "",
            formatBytes(calibration.peakBytes),
          ],
        ]),
  ];
  return table(["", "prune", "evaluate", "memory"], 1, [...before, ...rows]);
}

function evaluationTable(evaluations: readonly EvaluationData[]): string {
  const rows = evaluations.map((evaluation) => {
    const { model, protocol, sparsity, base, gates } = evaluation;
    return [
      plain(model),
      plain(protocol),
      gates.map(({ gate, passed }) => `${passed ? "✓" : "✗"} ${plain(gate)}`).join(", "),
      sparsity === null ? "" : formatPercent(sparsity),
      estimate(evaluation),
      base === undefined ? "" : `${estimate(base)} (${change(base.delta)})`,
    ];
  });
  return table(["model", "protocol", "gates", "zeros", "perplexity", "base"], 3, rows);
}

function layerTable({ cells }: LayerMap): string {
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const rows = kinds.map((kind) => {
    const own = cells.filter((cell) => cell.kind === kind);
    const zeros = own.map(({ sparsity }) => sparsity);
    const bytes = own.reduce((sum, cell) => sum + cell.bytes, 0);
    const range = [...new Set([Math.min(...zeros), Math.max(...zeros)].map(formatPercent))];
    return [plain(kind), String(own.length), range.join(" to "), formatBytes(bytes)];
  });
  return table(["matrices", "blocks", "zeros", "weights"], 1, rows);
}

function kernelParts({ gpu, method, means }: KernelData): string[] {
  const rows = means.map(({ tokens, sparsity, matrices, ratio }) => [
    String(tokens),
    formatPercent(sparsity),
    String(matrices),
    times(ratio),
  ]);
  return [
    `## Speed of products on ${plain(gpu)}`,
    "Time of the best dense product over that of the sparse one, geometric means over matrices.",
    table(["tokens", "zeros", "matrices", "ratio"], 0, rows),
    plain(method),
  ];
}

/** A section of a page or of a card. */
export function speedParts({ gpu, command, models }: SpeedData): string[] {
  const rows = speedRows(models).map((cells) => cells.map(plain));
  const others = models.flatMap(otherSpeeds);
  return [
    `## End-to-end speed on ${plain(gpu)}`,
    `${SPEED_METHOD} ${plain(command)}`,
    ...(rows.length === 0 ? [] : [table(SPEED_HEADS, 2, rows)]),
    ...(others.length === 0 ? [] : [others.map((sentence) => `- ${plain(sentence)}`).join("\n")]),
  ];
}

function provenanceParts({ sweeps, evaluations, kernels, speeds }: ReportData): string[] {
  const lists = [
    ...sweeps.map(({ model, provenance }) => [model, provenance] as const),
    ...evaluations.map(({ model, provenance }) => [model, provenance] as const),
    ...[...kernels, ...speeds].map(({ gpu, provenance }) => [gpu, provenance] as const),
  ];
  if (lists.length === 0) return [];
  return [
    "## Provenance",
    ...lists.flatMap(([name, facts]) => [`### ${plain(name)}`, factList(facts)]),
  ];
}

export function factList(facts: readonly Fact[]): string {
  return facts.map(([label, value]) => `- ${plain(label)}: ${plain(value)}`).join("\n");
}
