/**
 * A sweep: one model pruned by several methods, each at several sparsities, every result evaluated
 * on the same windows. Activations are gathered once, in one pass over the dense model, and serve all
 * points. sweep.json in the output folder is written anew after each point; a point that it has is
 * not made again.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { elementCount } from "../../core/dtype.ts";
import { SpInferError, toSpInferError } from "../../core/errors.ts";
import { formatPerplexity } from "../../core/figures.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { VERSION } from "../../core/version.ts";
import { requireComparable } from "../../eval/report.ts";
import { openTextSet } from "../../eval/textSet.ts";
import { writeFileAtomic } from "../../io/atomicFile.ts";
import { acquireLock } from "../../io/lock.ts";
import { closeFiles } from "../../io/openFile.ts";
import { readSmallFile } from "../../io/smallFile.ts";
import { calibrateOrGoOn } from "../calibration/resumed.ts";
import {
  checkStatistics,
  openStatistics,
  STATISTICS_FILE,
  stepsThatNeed,
} from "../calibration/statisticsFile.ts";
import { type EvaluateOptions, evaluateModel } from "../evaluate.ts";
import { type OnEvent, Progress } from "../events.ts";
import { executeRecipe, type RunOptions } from "../execute.ts";
import { type FileRecord, MANIFEST_FILE, type Manifest, readManifest } from "../manifest.ts";
import { openModel } from "../openModel.ts";
import { makePlan } from "../plan/plan.ts";
import type { Plan } from "../plan/steps.ts";
import type { Recipe } from "../recipe/index.ts";
import type { RunReport } from "../runReport.ts";
import { SourceHashes } from "../sourceHashes.ts";
import { denseSize, denseSizeOf } from "../tensorSizes.ts";
import { createPool } from "../work/pool.ts";
import { withPeakMemory } from "./peakMemory.ts";
import { recipeOf, type SharedSettings, type SweepPoint } from "./points.ts";
import { readSweepRecord, SWEEP_SCHEMA, type SweepRecord, type SweepResult } from "./record.ts";

export const SWEEP_FILE = "sweep.json";
const LOCK_FILE = "sweep.json.spinfer-lock";
const CHECKPOINTS = "checkpoints";
const LARGEST_RECORD = 1024 ** 3;
const LARGEST_MANIFEST = 1024 ** 3;

export interface SweepOptions
  extends Omit<EvaluateOptions, "base" | "compare" | "gates" | "open">,
    SharedSettings,
    Pick<RunOptions, "threads" | "skipSpaceCheck"> {
  /** A statistics file that exists, instead of calibrating. */
  readonly statistics?: string | undefined;
  /** Keep the pruned checkpoints, in the output's folder `checkpoints`. */
  readonly keep?: boolean | undefined;
  /** Throw the record that is there away. */
  readonly force?: boolean | undefined;
}

export interface SweepReport {
  readonly record: SweepRecord;
  /** Of the record, in the output folder. */
  readonly path: string;
  /** Points that were made now; the others were in the record. */
  readonly made: number;
}

/**
 * Throws E_OUTPUT_EXISTS for a folder that holds something else, E_RESUME_MISMATCH when its record is
 * of another model, text or setting, E_LOCKED, and what pruning, calibrating and evaluating throw.
 */
export async function sweepModel(
  model: string,
  output: string,
  points: readonly SweepPoint[],
  options: SweepOptions,
): Promise<SweepReport> {
  const prepared = await prepare(model, points, options);
  makeFolder(output);
  const lock = acquireLock(join(output, LOCK_FILE));
  try {
    const sweep = new Sweep(model, output, prepared, options);
    return await sweep.run();
  } finally {
    closeFiles();
    lock.release();
  }
}

interface PlannedPoint {
  readonly point: SweepPoint;
  readonly recipe: Recipe;
  readonly plan: Plan;
  /** What it must know of inputs: nothing, sums, or Gram matrices. */
  readonly needs: "nothing" | "sums" | "gram";
}

interface Prepared {
  readonly points: readonly PlannedPoint[];
  readonly source: readonly FileRecord[];
  readonly asked: SweepRecord["asked"];
  /** SHA-256 of the text to calibrate on. */
  readonly calibrationText: string | undefined;
}

/** Everything that can be refused before any work: options, methods, texts. */
async function prepare(
  model: string,
  points: readonly SweepPoint[],
  options: SweepOptions,
): Promise<Prepared> {
  const opened = await openModel(model, options);
  const { limits = DEFAULT_LIMITS, threads = availableParallelism(), calibration } = options;
  const planned = points.map((point): PlannedPoint => {
    const recipe = recipeOf(point, options);
    const plan = makePlan(opened.archive, recipe, { threads, limits });
    const needs = stepsThatNeed(plan).flatMap((step) => step.needs);
    const kind = needs.length === 0 ? "nothing" : "sums";
    return { point, recipe, plan, needs: needs.includes("gram") ? "gram" : kind };
  });
  requireStatistics(planned, options);
  const textHash = async (path: string | undefined, field: string | undefined) =>
    path === undefined
      ? undefined
      : (await openTextSet(path, { field, limitBytes: limits.textBytes })).sha256;
  const asked: SweepRecord["asked"] = {
    protocol: options.protocol,
    ctx: options.ctx ?? null,
    stride: options.stride ?? null,
    max_windows: options.maxWindows ?? null,
    bos: options.bos ?? null,
    dataset_sha256: (await textHash(options.dataset, options.field)) ?? null,
    tokenizer: options.tokenizer ?? null,
    targets: options.targets === undefined ? null : [...options.targets],
    ignore: options.ignore === undefined ? null : [...options.ignore],
  };
  const calibrationText = await textHash(calibration?.calib, calibration?.field);
  const pool = createPool(1, { signal: options.signal });
  try {
    const source = await new SourceHashes(opened, pool, options.onEvent ?? (() => undefined)).all();
    return { points: planned, source, asked, calibrationText };
  } finally {
    await pool.close();
    closeFiles();
  }
}

function requireStatistics(points: readonly PlannedPoint[], options: SweepOptions): void {
  const needy = points.find(({ needs }) => needs !== "nothing");
  const { statistics, calibration } = options;
  if (needy === undefined || statistics !== undefined || calibration?.calib !== undefined) return;
  throw new SpInferError(
    "E_STATS_MISSING",
    `${needy.point.label} needs to see what flows into the matrices`,
    {
      expected: "--calib TEXT, or --stats FILE with statistics that exist",
      hint: "--method magnitude needs no text",
    },
  );
}

/** A new folder, an empty one, or one with a record. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
    const names = readdirSync(path).filter((name) => !name.startsWith(LOCK_FILE));
    if (names.length === 0 || names.includes(SWEEP_FILE)) return;
  } catch (error) {
    throw toSpInferError(error, { path });
  }
  throw new SpInferError("E_OUTPUT_EXISTS", `${path}: there is something else in that folder`, {
    path,
    expected: "a folder that does not exist yet, or that of an earlier sweep",
    hint: "choose another folder",
  });
}

class Sweep {
  private readonly model: string;
  private readonly output: string;
  private readonly prepared: Prepared;
  private readonly options: SweepOptions;
  private readonly onEvent: OnEvent;

  constructor(model: string, output: string, prepared: Prepared, options: SweepOptions) {
    this.model = model;
    this.output = output;
    this.prepared = prepared;
    this.options = options;
    this.onEvent = options.onEvent ?? (() => undefined);
  }

  async run(): Promise<SweepReport> {
    const earlier = await this.recall();
    const { points } = this.prepared;
    const done = new Set(earlier?.points.map(({ name }) => name));
    const left = points.filter(({ point }) => !done.has(point.name));
    const progress = new Progress(this.onEvent, "sweep", points.length + 1, 0);
    let record = earlier ?? (await this.begin());
    progress.item("dense", 0, earlier !== undefined, note(record.dense.perplexity));
    for (const { name, perplexity } of record.points)
      if (points.some(({ point }) => point.name === name))
        progress.item(name, 0, true, note(perplexity));
    record = await this.calibrated(record, left);
    for (const planned of left) {
      const result = await this.measure(planned, record);
      record = { ...record, points: [...record.points, result] };
      await this.save(record);
      progress.item(result.name, 0, false, note(result.perplexity));
    }
    progress.end();
    return { record, path: this.pathOf(SWEEP_FILE), made: left.length };
  }

  private pathOf(name: string): string {
    return join(this.output, name);
  }

  private async save(record: SweepRecord): Promise<void> {
    const text = `${JSON.stringify(record, undefined, 1)}\n`;
    await writeFileAtomic(this.pathOf(SWEEP_FILE), new TextEncoder().encode(text));
  }

  /** The record of an earlier run. Throws E_RESUME_MISMATCH for one of another sweep. */
  private async recall(): Promise<SweepRecord | undefined> {
    const path = this.pathOf(SWEEP_FILE);
    if (!existsSync(path) || this.options.force === true) return undefined;
    const record = readSweepRecord(await readSmallFile(path, LARGEST_RECORD), path);
    closeFiles();
    const hashes = (files: readonly { readonly sha256: string }[]): string =>
      files.map(({ sha256 }) => sha256).join(" ");
    const { asked, source } = this.prepared;
    const differing = Object.entries(asked).find(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(record.asked[key as "ctx"]),
    );
    const sameModel = hashes(source) === hashes(record.dense.model.files);
    if (sameModel && differing === undefined) return record;
    const what = sameModel ? `another ${differing![0].replaceAll("_", " ")}` : "another model";
    throw new SpInferError("E_RESUME_MISMATCH", `${path}: it is the record of ${what}`, {
      path,
      hint: "choose another folder, or begin again with --force",
    });
  }

  /** The dense model, which all others are compared with. */
  private async begin(): Promise<SweepRecord> {
    const { result: dense, peakBytes } = await withPeakMemory(() => this.evaluate(this.model));
    const record: SweepRecord = {
      schema: SWEEP_SCHEMA,
      created_by: { name: "spinfer", version: VERSION },
      asked: this.prepared.asked,
      machine: {
        platform: process.platform,
        arch: process.arch,
        cpus: availableParallelism(),
        memory_bytes: totalmem(),
        node: process.versions.node,
      },
      dense,
      dense_peak_memory_bytes: peakBytes,
      calibration: null,
      points: [],
    };
    await this.save(record);
    return record;
  }

  private async evaluate(model: string) {
    const { targets: _, ignore: __, calibration: ___, statistics: ____, ...rest } = this.options;
    return await evaluateModel(model, { ...rest, onEvent: this.onEvent });
  }

  /** The record with statistics for all points that are left. */
  private async calibrated(
    record: SweepRecord,
    left: readonly PlannedPoint[],
  ): Promise<SweepRecord> {
    const needy = left.filter(({ needs }) => needs !== "nothing");
    if (needy.length === 0) return record;
    const { source } = this.prepared;
    const deepest = needy.find(({ needs }) => needs === "gram") ?? needy[0]!;
    const { statistics } = this.options;
    if (statistics !== undefined) {
      const file = await openStatistics(statistics);
      for (const { plan } of needy) checkStatistics(file, plan, source);
      const { calibration } = record;
      if (calibration !== null && calibration.sha256 !== file.sha256) {
        throw this.otherCalibration("other statistics");
      }
      const gram = [...file.places.values()].some((place) => place.gram !== undefined);
      return { ...record, calibration: factsOf(file, statistics, gram, null, null) };
    }
    if (await this.hasStatistics(record, deepest)) return record;
    const path = this.pathOf(STATISTICS_FILE);
    rmSync(path, { force: true });
    const { result, peakBytes } = await withPeakMemory(() =>
      calibrateOrGoOn(this.model, path, deepest.recipe, { ...this.options, onEvent: this.onEvent }),
    );
    const file = { path, ...result };
    const { gram, elapsedMs } = result;
    const facts = factsOf(file, STATISTICS_FILE, gram, Math.round(elapsedMs), peakBytes);
    const next = { ...record, calibration: facts };
    await this.save(next);
    return next;
  }

  /** Whether what an earlier run gathered serves. Throws E_RESUME_MISMATCH. */
  private async hasStatistics({ calibration }: SweepRecord, deepest: PlannedPoint) {
    if (calibration === null) return false;
    const asked = deepest.recipe.calibration;
    const { calibrationText } = this.prepared;
    if (calibrationText !== calibration.text_sha256) throw this.otherCalibration("another text");
    const seqlen = asked?.seqlen ?? calibration.seqlen;
    for (const key of ["nsamples", "windows", "seed"] as const)
      if (asked?.[key] !== calibration[key]) throw this.otherCalibration(`another ${key}`);
    if (seqlen !== calibration.seqlen) throw this.otherCalibration("another seqlen");
    if (deepest.needs === "gram" && !calibration.gram) return false;
    const path = this.pathOf(STATISTICS_FILE);
    if (!existsSync(path)) return false;
    return (await openStatistics(path)).sha256 === calibration.sha256;
  }

  private otherCalibration(what: string): SpInferError {
    const path = this.pathOf(SWEEP_FILE);
    return new SpInferError("E_RESUME_MISMATCH", `${path}: it was calibrated with ${what}`, {
      path,
      hint: "choose another folder, or begin again with --force",
    });
  }

  private statisticsPath(): string {
    return this.options.statistics ?? this.pathOf(STATISTICS_FILE);
  }

  /** Prunes, evaluates, and removes the checkpoint unless it is to be kept. */
  private async measure(planned: PlannedPoint, record: SweepRecord): Promise<SweepResult> {
    const { point, needs } = planned;
    const folder = join(CHECKPOINTS, point.name.replaceAll(":", "of"));
    const path = this.pathOf(folder);
    mkdirSync(this.pathOf(CHECKPOINTS), { recursive: true });
    try {
      const { result, peakBytes } = await withPeakMemory(async () => {
        const report = await this.prune(planned, path);
        return { report, evaluation: await this.evaluate(path) };
      });
      const { report, evaluation } = result;
      requireComparable(evaluation, record.dense, this.pathOf(SWEEP_FILE));
      const manifestPath = join(path, MANIFEST_FILE);
      const manifest = readManifest(
        await readSmallFile(manifestPath, LARGEST_MANIFEST),
        manifestPath,
      );
      const { method, allocation, pattern, sparsity, name } = point;
      const { loss, perplexity, stderr, engine } = evaluation;
      return {
        ...{ name, method, allocation, pattern, asked_sparsity: sparsity },
        ...{ sparsity: report.sparsity, loss, perplexity, stderr },
        delta: perplexity / record.dense.perplexity - 1,
        bytes: report.bytesOut,
        dense_bytes: denseSizeOf(manifest),
        prune_ms: Math.round(report.elapsedMs),
        evaluate_ms: evaluation.elapsed_ms,
        peak_memory_bytes: peakBytes,
        engine,
        manifest_sha256: evaluation.model.manifest_sha256,
        statistics_sha256: needs === "nothing" ? null : record.calibration!.sha256,
        checkpoint: this.options.keep === true ? folder.replaceAll("\\", "/") : null,
        layers: layersOf(manifest),
      };
    } finally {
      closeFiles();
      if (this.options.keep !== true) {
        rmSync(path, { recursive: true, force: true });
        removeIfEmpty(this.pathOf(CHECKPOINTS));
      }
    }
  }

  private async prune({ recipe, needs }: PlannedPoint, path: string): Promise<RunReport> {
    const statistics = needs === "nothing" ? undefined : this.statisticsPath();
    const { calibration: _, ...uncalibrated } = recipe;
    return await executeRecipe(this.model, path, uncalibrated, {
      ...this.options,
      statistics,
      force: true,
      unfinished: "restart",
      onEvent: this.onEvent,
    });
  }
}

function note(perplexity: number): string {
  return `ppl ${formatPerplexity(perplexity)}`;
}

function removeIfEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
}

interface KnownStatistics {
  readonly bytes: number;
  readonly sha256: string;
  readonly facts: Pick<
    NonNullable<SweepRecord["calibration"]>,
    "text_sha256" | "tokenizer_sha256" | "nsamples" | "seqlen" | "windows" | "seed" | "engine"
  >;
}

function factsOf(
  { bytes, sha256, facts }: KnownStatistics,
  file: string,
  gram: boolean,
  elapsedMs: number | null,
  peakBytes: number | null,
): NonNullable<SweepRecord["calibration"]> {
  const { text_sha256, tokenizer_sha256, nsamples, seqlen, windows, seed, engine } = facts;
  return {
    ...{ file, bytes, sha256, text_sha256, tokenizer_sha256 },
    ...{ nsamples, seqlen, windows, seed, engine, gram },
    elapsed_ms: elapsedMs,
    peak_memory_bytes: peakBytes,
  };
}

function layersOf({ tensors }: Manifest): SweepResult["layers"] {
  return Object.entries(tensors)
    .filter(([, { pruned }]) => pruned !== undefined)
    .map(([tensor, record]) => ({
      tensor,
      elements: elementCount(record.shape) ?? 0,
      nonzeros: record.nnz ?? 0,
      bytes: record.bytes,
      dense_bytes: denseSize(record),
    }));
}
