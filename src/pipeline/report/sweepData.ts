/** A sweep's record as the page takes it. */
import { formatPercent } from "../../core/text.ts";
import type { Fact, PointData, SweepData } from "../../report/index.ts";
import type { SweepRecord, SweepResult } from "../sweep/record.ts";
import { evaluationFacts, protocolText } from "./evaluationData.ts";
import { layerMap } from "./layerMaps.ts";

export function sweepData(record: SweepRecord): SweepData {
  const { dense, dense_peak_memory_bytes, calibration, points } = record;
  return {
    model: dense.model.path,
    protocol: protocolText(dense),
    dense: {
      perplexity: dense.perplexity,
      stderr: dense.stderr,
      bytes: dense.model.files.reduce((sum, { bytes }) => sum + bytes, 0),
      evaluateMs: dense.elapsed_ms,
      peakBytes: dense_peak_memory_bytes,
    },
    points: points.map(pointData),
    calibration:
      calibration?.elapsed_ms == null || calibration.peak_memory_bytes === null
        ? undefined
        : { ms: calibration.elapsed_ms, peakBytes: calibration.peak_memory_bytes },
    maps: [...points]
      .sort((a, b) => a.asked_sparsity - b.asked_sparsity)
      .map((point) => ({
        ...layerMap(methodLabel(point), point.layers),
        amount: amountOf(point),
      })),
    provenance: [...evaluationFacts(dense), ...calibrationFacts(record), ...machineFacts(record)],
  };
}

export function methodLabel({ method, allocation }: SweepResult): string {
  return allocation === "owl" ? `${method}+owl` : method;
}

function pointData(point: SweepResult): PointData {
  return {
    method: methodLabel(point),
    sparsity: point.sparsity,
    asked: point.asked_sparsity,
    pattern: point.pattern === "unstructured" ? undefined : point.pattern,
    perplexity: point.perplexity,
    stderr: point.stderr,
    delta: point.delta,
    bytes: point.bytes,
    denseBytes: point.dense_bytes,
    pruneMs: point.prune_ms,
    evaluateMs: point.evaluate_ms,
    peakBytes: point.peak_memory_bytes,
  };
}

function amountOf({ pattern, asked_sparsity: asked }: SweepResult): string {
  return pattern === "unstructured" ? formatPercent(asked) : pattern;
}

function calibrationFacts({ calibration }: SweepRecord): Fact[] {
  if (calibration === null) return [];
  const { nsamples, seqlen, windows, seed, text_sha256, sha256, engine } = calibration;
  const drawn = windows === "random" ? `, drawn with seed ${seed}` : "";
  return [
    ["calibrated on", `${nsamples} windows of ${seqlen} tokens, ${windows}${drawn}, ${engine}`],
    ["calibration text", text_sha256],
    ["statistics", sha256],
  ];
}

function machineFacts({ machine, created_by, points }: SweepRecord): Fact[] {
  const { platform, arch, cpus, memory_bytes, node } = machine;
  const memory = `${Math.round(memory_bytes / 1024 ** 3)} GiB`;
  return [
    ["machine", `${platform} ${arch}, ${cpus} threads, ${memory}, Node ${node}`],
    ["made with", `SpInfer ${created_by.version}`],
    ["checkpoints", String(points.length)],
  ];
}
