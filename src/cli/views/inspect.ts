/** What a model is: a header, and a table by role, block or tensor. */
import { formatBytes, formatPercent } from "../../core/text.ts";
import type { Group, InspectReport, TensorFacts } from "../../pipeline/inspect.ts";
import {
  type Block,
  type Column,
  type Document,
  type Line,
  lines,
  type Row,
  strong,
  type Table,
} from "../output/document.ts";
import type { InspectResult } from "../schemas/inspect.ts";
import { counted, formatCount, showBytes, showCount, showPercent } from "./words.ts";

export interface Shown {
  readonly layers: boolean;
  readonly tensors: boolean;
}

export function inspectResult(
  report: InspectReport,
  tensors: readonly TensorFacts[],
): InspectResult {
  return {
    model: report.model,
    format: report.format,
    architecture: report.architecture ?? null,
    parameters: report.parameters,
    bytes: report.bytes,
    dense_bytes: report.denseBytes,
    sparsity: report.sparsity ?? null,
    tied: report.tied,
    quantized: report.quantized ?? null,
    files: report.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256: sha256 ?? null })),
    dtypes: mapGroups(report.dtypes),
    roles: mapGroups(report.roles),
    layers: report.layers.map((layer) => ({ block: layer.block, ...groupResult(layer) })),
    tensors: tensors.map((tensor) => ({
      name: tensor.name,
      role: tensor.role,
      block: tensor.block ?? null,
      dtype: tensor.dtype,
      shape: [...tensor.shape],
      stored: tensor.stored,
      bytes: tensor.bytes,
      parameters: tensor.parameters,
      nonzeros: tensor.nonzeros ?? null,
      sparsity: tensor.sparsity ?? null,
    })),
  };
}

function mapGroups(groups: Readonly<Record<string, Group>>): InspectResult["roles"] {
  return Object.fromEntries(
    Object.entries(groups).map(([key, group]) => [key, groupResult(group)]),
  );
}

function groupResult({ tensors, parameters, bytes, sparsity }: Group) {
  return { tensors, parameters, bytes, sparsity: sparsity ?? null };
}

const GROUP_COLUMNS: readonly Column[] = [
  { key: "tensors", title: "tensors", align: "right" },
  { key: "parameters", title: "parameters", align: "right", show: showCount },
  { key: "bytes", title: "bytes", align: "right", show: showBytes },
  { key: "sparsity", title: "zeros", align: "right", show: showPercent },
];

const TENSOR_COLUMNS: readonly Column[] = [
  { key: "name", title: "tensor" },
  { key: "role", title: "role" },
  { key: "block", title: "block", dataOnly: true },
  { key: "dtype", title: "dtype" },
  { key: "shape", title: "shape" },
  { key: "stored", title: "stored" },
  { key: "bytes", title: "bytes", align: "right", show: showBytes },
  { key: "parameters", title: "parameters", align: "right", show: showCount, dataOnly: true },
  { key: "nonzeros", title: "nonzeros", align: "right", dataOnly: true },
  { key: "sparsity", title: "zeros", align: "right", show: showPercent },
];

/** The one table of CSV and JSON lines: the one that people would see. */
export function inspectTable(
  report: InspectReport,
  tensors: readonly TensorFacts[],
  { layers, tensors: byTensor }: Shown,
): Table {
  if (byTensor) return tensorTable(tensors);
  if (layers) return layerTable(report);
  return roleTable(report);
}

/** A column in which all are empty is left out for people. */
function withKnown(columns: readonly Column[], rows: readonly Row[]): Table {
  const known = rows.some(({ sparsity }) => sparsity !== null);
  return {
    columns: columns.map((column) =>
      column.key === "sparsity" && !known ? { ...column, dataOnly: true } : column,
    ),
    rows,
  };
}

function tensorTable(tensors: readonly TensorFacts[]): Table {
  return withKnown(
    TENSOR_COLUMNS,
    tensors.map(
      ({
        name,
        role,
        block,
        dtype,
        shape,
        stored,
        bytes,
        parameters,
        nonzeros,
        sparsity,
      }): Row => ({
        name,
        role,
        block: block ?? null,
        dtype,
        shape: shape.join("×"),
        stored,
        bytes,
        parameters,
        nonzeros: nonzeros ?? null,
        sparsity: sparsity ?? null,
      }),
    ),
  );
}

function layerTable({ layers }: InspectReport): Table {
  return withKnown(
    [{ key: "block", title: "block", align: "right" }, ...GROUP_COLUMNS],
    layers.map((layer): Row => ({ block: layer.block, ...groupResult(layer) })),
  );
}

function roleTable({ roles }: InspectReport): Table {
  return withKnown(
    [{ key: "role", title: "role" }, ...GROUP_COLUMNS],
    Object.entries(roles).map(([role, group]): Row => ({ role, ...groupResult(group) })),
  );
}

export function inspectDocument(
  report: InspectReport,
  tensors: readonly TensorFacts[],
  { layers, tensors: byTensor }: Shown,
): Document {
  const tables: Table[] = [];
  if (!layers && !byTensor) tables.push(roleTable(report));
  if (layers) tables.push(layerTable(report));
  if (byTensor) tables.push(tensorTable(tensors));
  return [
    lines([
      strong(report.model),
      `  ${[report.architecture, report.format].filter(Boolean).join(" · ")}`,
    ]),
    { kind: "facts", facts: headerFacts(report) },
    ...tables.map((table): Block => ({ kind: "table", table })),
  ];
}

function headerFacts(report: InspectReport): (readonly [string, Line])[] {
  const { parameters, tied, dtypes, bytes, denseBytes, sparsity, files, quantized } = report;
  const dtypeWords = Object.entries(dtypes).map(([name, { tensors }]) => `${name} ×${tensors}`);
  const hashes = files.filter(({ sha256 }) => sha256 !== undefined);
  return [
    [
      "parameters",
      [`${formatCount(parameters)}${tied ? ", output head tied to the embedding" : ""}`],
    ],
    ["dtypes", [dtypeWords.join(", ")]],
    [
      "size",
      [
        `${formatBytes(bytes)} in ${counted(files.length, "file")}`,
        bytes < denseBytes ? `, ${formatBytes(denseBytes)} if dense` : "",
      ],
    ],
    ...(sparsity === undefined
      ? []
      : [["zeros", [`${formatPercent(sparsity)} of the weights looked at`]] as const]),
    ...(quantized === undefined ? [] : [["quantized", [quantized]] as const]),
    ...hashes.map(({ name, sha256 }) => ["sha256", [`${sha256} ${name}`]] as const),
  ];
}
