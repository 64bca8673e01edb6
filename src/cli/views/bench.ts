/** What bench kernels found. Losses are printed like wins. */
import { formatPercent } from "../../core/text.ts";
import { VERSION } from "../../core/version.ts";
import type { Measurement } from "../../engine/cuda/index.ts";
import {
  geometricMeans,
  type KernelBenchReport,
  type KernelRow,
  type MeanRow,
  maskOf,
  sparseBytes,
  speedup,
} from "../../pipeline/bench/kernels.ts";
import {
  type Block,
  type Cell,
  type Column,
  type Document,
  faint,
  lines,
  type Row,
  strong,
  type Table,
  type Tone,
} from "../output/document.ts";
import type { BenchCell, BenchResult } from "../schemas/bench.ts";
import { geometryResult, geometryText, gpuLine, gpuResult } from "./gpu.ts";

const METHOD =
  "Cold L2 (weights and offsets rotate over more than 220 MB), CUDA graph replays, median of 9; each product checked against float64 before it is timed. Dense: the fastest of cuBLASLt's heuristics, cublasGemmEx and, for one token, a GEMV; measured once for a shape and N.";

const spreadOf = ({ samplesUs, medianUs }: Measurement): number =>
  (samplesUs.at(-1)! - samplesUs[0]!) / medianUs;
const nanoseconds = (us: number): number => us * 1000;
const optionalNs = (time: Measurement | undefined): number | null =>
  time === undefined ? null : nanoseconds(time.medianUs);
const millijoules = ({ joules }: Measurement): number | null => (joules > 0 ? joules * 1000 : null);

export function benchResult(report: KernelBenchReport): BenchResult {
  return {
    gpu: gpuResult(report.gpu),
    started: report.started,
    method: METHOD,
    cells: report.rows.map((row) => cellOf(row, report)),
    means: geometricMeans(report.rows).map(
      ({ tokens, sparsity, mask, cells, ratio, overlapRatio, streamRatio }) => ({
        n_batch: tokens,
        sparsity,
        mask,
        cells,
        ratio,
        overlap_ratio: overlapRatio,
        stream_ratio: streamRatio ?? null,
      }),
    ),
  };
}

function cellOf(row: KernelRow, { gpu, started }: KernelBenchReport): BenchCell {
  const { matrix, weights, tokens, dense, sparse, overlapped, stream, twoFour } = row;
  const baseline = dense.best.time;
  const ratioOf = (time: Measurement | undefined): number | null =>
    time === undefined ? null : speedup(row, time);
  return {
    build_version: VERSION,
    backends: "CUDA",
    gpu_info: gpu.name,
    test_time: started,
    matrix: matrix.label,
    m: weights.rows,
    k: weights.cols,
    n_batch: tokens,
    dtype: matrix.dtype,
    mask: maskOf(row),
    asked_sparsity: matrix.source.sparsity,
    sparsity: row.sparsity,
    avg_ns: nanoseconds(sparse.meanUs),
    stddev_ns: nanoseconds(sparse.deviationUs),
    median_ns: nanoseconds(sparse.medianUs),
    spread: spreadOf(sparse),
    samples_ns: sparse.samplesUs.map(nanoseconds),
    avg_ts: (tokens * 1e6) / sparse.meanUs,
    stddev_ts: (tokens * 1e6 * sparse.deviationUs) / sparse.meanUs ** 2,
    kernel: geometryResult(sparse.geometry),
    weight_bytes: sparseBytes(weights),
    gb_per_s: sparseBytes(weights) / sparse.medianUs / 1000,
    largest_error: sparse.largestError,
    baseline: dense.best.name,
    baseline_median_ns: nanoseconds(baseline.medianUs),
    baseline_spread: spreadOf(baseline),
    baseline_candidates: dense.lt?.candidates ?? 0,
    dense_bytes: weights.denseBytes,
    lt_median_ns: optionalNs(dense.lt),
    gemm_median_ns: optionalNs(dense.gemm),
    gemv_median_ns: optionalNs(dense.gemv),
    ratio: speedup(row, sparse),
    overlap_median_ns: nanoseconds(overlapped.medianUs),
    overlap_ratio: speedup(row, overlapped),
    stream_median_ns: optionalNs(stream),
    stream_ratio: ratioOf(stream),
    share_of_limit: stream === undefined ? null : stream.medianUs / sparse.medianUs,
    two_four_median_ns: optionalNs(twoFour),
    two_four_ratio: ratioOf(twoFour),
    millijoules: millijoules(sparse),
    baseline_millijoules: millijoules(baseline),
    energy_sm_clock_mhz: sparse.smClockMhz > 0 ? sparse.smClockMhz : null,
  };
}

const showUs = (value: Cell): string => (value === null ? "" : (Number(value) / 1000).toFixed(2));
const showRatio = (value: Cell): string => (value === null ? "" : Number(value).toFixed(2));
const showPercent = (value: Cell): string => (value === null ? "" : formatPercent(Number(value)));
const showWhole = (value: Cell): string =>
  value === null ? "" : Math.round(Number(value)).toString();
const winOrLoss = (value: Cell): Tone | undefined =>
  value === null ? undefined : Number(value) >= 1 ? "good" : "bad";

const right = "right" as const;

const COLUMNS: readonly Column[] = [
  { key: "build_version", title: "", dataOnly: true },
  { key: "backends", title: "", dataOnly: true },
  { key: "gpu_info", title: "", dataOnly: true },
  { key: "test_time", title: "", dataOnly: true },
  { key: "matrix", title: "outputs × inputs" },
  { key: "m", title: "", dataOnly: true },
  { key: "k", title: "", dataOnly: true },
  { key: "n_batch", title: "N", align: right },
  { key: "dtype", title: "", dataOnly: true },
  { key: "mask", title: "mask" },
  { key: "asked_sparsity", title: "", dataOnly: true },
  { key: "sparsity", title: "zeros", align: right, show: showPercent },
  { key: "baseline_median_ns", title: "dense µs", align: right, show: showUs },
  { key: "median_ns", title: "sparse µs", align: right, show: showUs },
  { key: "spread", title: "±", align: right, show: showPercent },
  { key: "gb_per_s", title: "GB/s", align: right, show: showWhole },
  { key: "ratio", title: "ratio", align: right, show: showRatio, tone: winOrLoss },
  { key: "overlap_ratio", title: "with overlap", align: right, show: showRatio, tone: winOrLoss },
  { key: "stream_ratio", title: "limit", align: right, show: showRatio },
  { key: "share_of_limit", title: "of limit", align: right, show: showPercent },
  { key: "two_four_ratio", title: "2:4", align: right, show: showRatio, tone: winOrLoss },
  { key: "millijoules", title: "mJ", align: right, show: showRatio },
  { key: "baseline_millijoules", title: "dense mJ", align: right, show: showRatio },
  { key: "baseline", title: "dense by" },
  { key: "kernel", title: "kernel", dataOnly: true },
  ...[
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "weight_bytes",
    "dense_bytes",
    "largest_error",
    "baseline_spread",
    "baseline_candidates",
    "lt_median_ns",
    "gemm_median_ns",
    "gemv_median_ns",
    "overlap_median_ns",
    "stream_median_ns",
    "two_four_median_ns",
    "energy_sm_clock_mhz",
    "samples_ns",
  ].map((key): Column => ({ key, title: "", dataOnly: true })),
];

/** Columns that were not measured at all are left out where people read. */
export function benchTable({ cells }: BenchResult): Table {
  const rows = cells.map(
    (cell): Row => ({
      ...cell,
      kernel: geometryText(cell.kernel),
      samples_ns: cell.samples_ns.map((ns) => ns.toFixed(1)).join(" "),
    }),
  );
  const columns = COLUMNS.map((column) =>
    rows.every((row) => row[column.key] === null) ? { ...column, dataOnly: true } : column,
  );
  return { columns, rows };
}

export function benchDocument(report: KernelBenchReport): Document {
  const result = benchResult(report);
  const blocks: Block[] = [
    lines([strong("Kernels"), `  ${gpuLine(report.gpu)}`], [faint(METHOD)]),
    { kind: "table", table: benchTable(result) },
  ];
  if (report.rows.length > 1) {
    blocks.push(lines([strong("geometric means")]));
    blocks.push({ kind: "table", table: meansTable(geometricMeans(report.rows)) });
  }
  return blocks;
}

function meansTable(means: readonly MeanRow[]): Table {
  return {
    columns: [
      { key: "n", title: "N", align: right },
      { key: "zeros", title: "zeros asked", align: right, show: showPercent },
      { key: "mask", title: "mask" },
      { key: "cells", title: "cells", align: right },
      { key: "ratio", title: "ratio", align: right, show: showRatio, tone: winOrLoss },
      { key: "overlap", title: "with overlap", align: right, show: showRatio, tone: winOrLoss },
      { key: "limit", title: "limit", align: right, show: showRatio },
    ],
    rows: means.map(
      ({ tokens, sparsity, mask, cells, ratio, overlapRatio, streamRatio }): Row => ({
        n: tokens,
        zeros: sparsity,
        mask,
        cells,
        ratio,
        overlap: overlapRatio,
        limit: streamRatio ?? null,
      }),
    ),
  };
}
