/** sweep: what does each method cost at each sparsity? */
import { SpInferError } from "../../core/errors.ts";
import type { EngineChoice } from "../../engine/index.ts";
import type { BosMode, Protocol } from "../../eval/windows.ts";
import { isJsonLines } from "../../io/textFiles.ts";
import {
  makePoints,
  parseSparsities,
  type SharedSettings,
  type SweepPoint,
} from "../../pipeline/sweep/points.ts";
import { sweepModel } from "../../pipeline/sweep/sweep.ts";
import { words } from "../commandLine/lists.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { sweepDocument, sweepTable } from "../views/sweep.ts";

const MOST = 1e9;
const DEFAULT_RANGE = "0.3..0.7";

export async function sweep(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, work, signal, onEvent } = invocation;
  const model = given.required("model");
  const output = given.text("output");
  if (output === undefined) {
    throw new SpInferError("E_USAGE", "sweep needs a folder for its record", {
      expected: "-o DIR, a new folder or that of an earlier sweep",
    });
  }
  const field = given.text("field");
  const dataset = given.text("dataset");
  const report = await sweepModel(model, output, pointsOf(invocation), {
    ...work,
    calibration: calibrationOf(invocation),
    statistics: given.text("stats"),
    targets: given.list("targets"),
    ignore: given.list("ignore"),
    dataset,
    field: dataset !== undefined && isJsonLines(dataset) ? field : undefined,
    protocol: (given.text("protocol") ?? "wanda") as Protocol,
    ctx: given.count("ctx", 1, MOST),
    stride: given.count("stride", 1, MOST),
    maxWindows: given.count("max-windows", 1, MOST),
    bos: given.text("bos") as BosMode | undefined,
    tokenizer: given.text("tokenizer"),
    engine: given.text("engine") as EngineChoice | undefined,
    keep: given.flag("keep"),
    force: given.flag("force"),
    onEvent,
    signal,
  });
  return {
    result: report.record,
    document: () => sweepDocument(report),
    table: () => sweepTable(report.record),
    quiet: report.path,
  };
}

function pointsOf({ arguments: given }: Invocation): readonly SweepPoint[] {
  const calibrated = given.has("calib") || given.has("stats");
  const methods = words(given, "method") ?? (calibrated ? ["magnitude", "wanda"] : ["magnitude"]);
  const patterns = words(given, "pattern") ?? [];
  const range = given.text("sparsity") ?? (patterns.length === 0 ? DEFAULT_RANGE : undefined);
  return makePoints(methods, range === undefined ? [] : parseSparsities(range), patterns);
}

function calibrationOf({ arguments: given }: Invocation): SharedSettings["calibration"] {
  const calib = given.text("calib");
  if (calib === undefined) return undefined;
  const field = given.text("field");
  return {
    calib,
    field: isJsonLines(calib) ? field : undefined,
    nsamples: given.text("nsamples"),
    seqlen: given.text("seqlen"),
    windows: given.text("windows"),
    seed: given.text("seed"),
  };
}
