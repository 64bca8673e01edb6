/** Records of any kind, checked, as what a page is made of. */
import { VERSION } from "../../core/version.ts";
import { type EvalReport, readEvalReport } from "../../eval/report.ts";
import { closeFiles } from "../../io/openFile.ts";
import { readSmallFile } from "../../io/smallFile.ts";
import type { KernelData, LayerMap, ReportData, SpeedData } from "../../report/index.ts";
import { MANIFEST_SCHEMA, type Manifest, readManifest } from "../manifest.ts";
import {
  badRecord,
  parseRecord,
  readSweepRecord,
  SWEEP_SCHEMA,
  type SweepRecord,
} from "../sweep/record.ts";
import { evaluationData, nameOf } from "./evaluationData.ts";
import { kernelData, readKernelRecord } from "./kernelData.ts";
import { manifestMap } from "./layerMaps.ts";
import { readSpeedRecord, SPEED_SCHEMA } from "./speedData.ts";
import { sweepData } from "./sweepData.ts";

const LARGEST = 1024 ** 3;
const RESULT_SCHEMA = "spinfer.result/1";
const EVAL_SCHEMA = "spinfer.eval/1";

export type AnyRecord =
  | { readonly kind: "sweep"; readonly path: string; readonly record: SweepRecord }
  | { readonly kind: "eval"; readonly path: string; readonly record: EvalReport }
  | { readonly kind: "manifest"; readonly path: string; readonly record: Manifest }
  | { readonly kind: "kernels"; readonly path: string; readonly record: KernelData }
  | { readonly kind: "speed"; readonly path: string; readonly record: SpeedData };

/** Throws E_RECORD, E_EVAL_REPORT, E_MANIFEST, E_IO. */
export async function readRecords(paths: readonly string[]): Promise<readonly AnyRecord[]> {
  try {
    const records: AnyRecord[] = [];
    for (const path of paths) records.push(recordOf(await readSmallFile(path, LARGEST), path));
    return records;
  } finally {
    closeFiles();
  }
}

function recordOf(bytes: Uint8Array, path: string): AnyRecord {
  const raw = parseRecord(bytes, path);
  if (raw["schema"] === SPEED_SCHEMA) {
    return { kind: "speed", path, record: readSpeedRecord(raw, path) };
  }
  if (raw["schema"] !== RESULT_SCHEMA) return ownRecord(String(raw["schema"]), bytes, path);
  const result = raw["result"];
  if (raw["command"] === "bench kernels") {
    return { kind: "kernels", path, record: kernelData(readKernelRecord(result, path)) };
  }
  const inner = new TextEncoder().encode(JSON.stringify(result));
  const { schema } = parseRecord(inner, path);
  return ownRecord(String(schema), inner, path);
}

function ownRecord(schema: string, bytes: Uint8Array, path: string): AnyRecord {
  switch (schema) {
    case SWEEP_SCHEMA:
      return { kind: "sweep", path, record: readSweepRecord(bytes, path) };
    case EVAL_SCHEMA:
      return { kind: "eval", path, record: readEvalReport(bytes, path) };
    case MANIFEST_SCHEMA:
      return { kind: "manifest", path, record: readManifest(bytes, path) };
    default:
      throw badRecord(path, `nothing that report shows, but ${schema}`);
  }
}

export function reportData(records: readonly AnyRecord[], title: string | undefined): ReportData {
  const models = records.flatMap((record) => {
    if (record.kind === "sweep") return [record.record.dense.model.path];
    return record.kind === "eval" ? [record.record.model.path] : [];
  });
  const maps = records.flatMap((one): LayerMap[] =>
    one.kind === "manifest" ? [manifestMap(one.record, one.path)] : [],
  );
  return {
    title:
      title ??
      (models[0] === undefined ? undefined : nameOf(models[0])) ??
      maps[0]?.title ??
      "Speed of sparse products",
    version: VERSION,
    sweeps: records.flatMap((one) => (one.kind === "sweep" ? [sweepData(one.record)] : [])),
    evaluations: records.flatMap((one) =>
      one.kind === "eval" ? [evaluationData(one.record)] : [],
    ),
    checkpoints: maps,
    kernels: records.flatMap((one) => (one.kind === "kernels" ? [one.record] : [])),
    speeds: records.flatMap((one) => (one.kind === "speed" ? [one.record] : [])),
  };
}
