/** What tune measured and what the planner makes of it. */
import { formatPercent } from "../../core/text.ts";
import type { Geometry } from "../../engine/cuda/index.ts";
import type { TuneReport } from "../../pipeline/tune/tune.ts";
import {
  type Cell,
  type Document,
  faint,
  good,
  lines,
  type Row,
  strong,
  type Table,
} from "../output/document.ts";
import type { TuneResult } from "../schemas/bench.ts";
import { geometryResult, geometryText, gpuLine, gpuResult } from "./gpu.ts";
import { counted, kindOf } from "./words.ts";

const kernelOf = (geometry: Geometry | "built-in") =>
  geometry === "built-in" ? null : geometryResult(geometry);

export function tuneResult(report: TuneReport): TuneResult {
  return {
    gpu: report.gpu === undefined ? null : gpuResult(report.gpu),
    cache: report.cache,
    measured: report.measured,
    matrices: report.matrices.map(({ matrix, sparsity, plan }) => ({
      matrix: kindOf(matrix.tensor),
      layers: matrix.count,
      rows: matrix.rows,
      cols: matrix.cols,
      dtype: matrix.dtype,
      sparsity,
      storage: plan.storage,
      ratio: plan.ratio,
      choices: plan.choices.map((choice) => ({
        tokens: choice.tokens,
        ratio: choice.ratio,
        overlap_ratio: choice.overlapRatio,
        kernel: kernelOf(choice.geometry),
        overlap_kernel: kernelOf(choice.overlapGeometry),
        from: choice.from,
      })),
    })),
  };
}

const showRatio = (value: Cell): string => Number(value).toFixed(2);

export function tuneTable(report: TuneReport): Table {
  return {
    columns: [
      { key: "matrix", title: "layers" },
      { key: "shape", title: "outputs × inputs" },
      { key: "rows", title: "", dataOnly: true },
      { key: "cols", title: "", dataOnly: true },
      { key: "dtype", title: "", dataOnly: true },
      {
        key: "zeros",
        title: "zeros",
        align: "right",
        show: (value) => formatPercent(Number(value)),
      },
      {
        key: "storage",
        title: "kept",
        tone: (value) => (value === "sparse" ? "good" : "caution"),
      },
      { key: "tokens", title: "N", align: "right" },
      { key: "ratio", title: "ratio", align: "right", show: showRatio },
      { key: "overlap_ratio", title: "with overlap", align: "right", show: showRatio },
      { key: "kernel", title: "kernel" },
      { key: "from", title: "ratio from" },
    ],
    rows: report.matrices.flatMap(({ matrix, sparsity, plan }) =>
      plan.choices.map(
        (choice): Row => ({
          matrix: kindOf(matrix.tensor),
          shape: `${matrix.rows}×${matrix.cols}`,
          rows: matrix.rows,
          cols: matrix.cols,
          dtype: matrix.dtype,
          zeros: sparsity,
          storage: plan.storage,
          tokens: choice.tokens,
          ratio: choice.ratio,
          overlap_ratio: choice.overlapRatio,
          kernel:
            choice.geometry === "built-in"
              ? "the library's choice"
              : geometryText(geometryResult(choice.geometry)),
          from: choice.from,
        }),
      ),
    ),
  };
}

export function tuneDocument(report: TuneReport): Document {
  const { gpu, measured, cache, matrices } = report;
  const dense = matrices.filter(({ plan }) => plan.storage === "dense").length;
  return [
    lines([
      strong("Kernel plan"),
      gpu === undefined ? "  no GPU here: from the built-in table of an H100" : `  ${gpuLine(gpu)}`,
    ]),
    { kind: "table", table: tuneTable(report) },
    lines(
      [`${counted(matrices.length - dense, "kind")} of layers stay sparse, ${dense} dense.`],
      measured > 0
        ? [good("✓"), ` ${counted(measured, "cell")} measured; kept in ${cache}`]
        : [faint("Nothing was measured now. On a machine with a GPU: spinfer tune MODEL")],
    ),
  ];
}
