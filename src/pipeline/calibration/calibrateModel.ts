/** Gathers statistics into a file of their own, to prune by as often as wanted. */

import { availableParallelism } from "node:os";
import { SpInferError, toSpInferError } from "../../core/errors.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { VERSION } from "../../core/version.ts";
import { engineLabel } from "../../engine/engine.ts";
import type { IfUnfinished } from "../../io/ifUnfinished.ts";
import { closeFiles } from "../../io/openFile.ts";
import { OutputFolder } from "../../io/outputFolder.ts";
import type { OnEvent } from "../events.ts";
import { RESUMABLE } from "../execute.ts";
import { checkStamps, openModel, stampSources } from "../openModel.ts";
import { aimRecipe } from "../plan/aim.ts";
import { makePlan } from "../plan/plan.ts";
import type { Recipe } from "../recipe/index.ts";
import type { RunModelOptions } from "../runModel.ts";
import { SourceHashes } from "../sourceHashes.ts";
import { createPool } from "../work/pool.ts";
import { gatherStatistics } from "./gather.ts";
import { prepareText } from "./inputs.ts";
import { STATISTICS_FILE, type StatisticsFacts } from "./statisticsFile.ts";
import type { CalibrationTextOptions } from "./text.ts";

export interface CalibrateOptions extends CalibrationTextOptions, RunModelOptions {
  readonly unfinished?: IfUnfinished | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CalibrateReport {
  readonly output: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly facts: StatisticsFacts;
  /** Weights whose inputs were looked at. */
  readonly weights: number;
  readonly gram: boolean;
  readonly elapsedMs: number;
}

/**
 * The recipe says what is gathered (Gram matrices for SparseGPT, sums for all others), on which text,
 * and how blocks are pruned on the way. Throws E_OUTPUT_EXISTS, E_STATS_MISSING, and what opening,
 * tokenising and running throw.
 */
export async function calibrateModel(
  model: string,
  output: string,
  asked: Recipe,
  options: CalibrateOptions = {},
): Promise<CalibrateReport> {
  const begun = performance.now();
  const onEvent = options.onEvent ?? (() => undefined);
  const warn = (code: string, message: string): void => onEvent({ type: "warning", code, message });
  const opened = await openModel(model, { ...options, dtype: asked.convert.dtype });
  const threads = options.threads ?? availableParallelism();
  const limits = options.limits ?? DEFAULT_LIMITS;
  const recipe = aimRecipe(opened.archive, asked, { threads, limits });
  const plan = makePlan(opened.archive, recipe, { threads, limits });
  const stamps = stampSources(opened);
  const inputs = await prepareText(opened, recipe, options, warn);
  try {
    const { text, runnable } = inputs;
    const { prune, calibration } = recipe;
    const ran = engineLabel(runnable);
    const made = [VERSION, text.sha256, stamps, prune, calibration?.mode, ran];
    const fingerprint = JSON.stringify(made);
    const unfinished = options.unfinished ?? "refuse";
    const folder = OutputFolder.open({
      path: output,
      inputs: [],
      force: false,
      unfinished,
      fingerprint,
    });
    const pool = createPool(plan.threads, { signal: options.signal });
    try {
      const source = await new SourceHashes(opened, pool, onEvent).all();
      const paths = Object.fromEntries(
        opened.archive.tensorFiles.map(({ name }) => [name, opened.pathOf(name)]),
      );
      const { file } = await gatherStatistics({
        ...{ runnable, plan, recipe, text, paths, source, output: folder, pool, onEvent },
        keepPruned: false,
        signal: options.signal,
      });
      checkStamps(opened, stamps);
      await pool.close();
      closeFiles();
      await folder.publishFile(STATISTICS_FILE);
      return {
        ...{ output: folder.path, bytes: file.bytes, sha256: file.sha256, facts: file.facts },
        weights: file.places.size,
        gram: [...file.places.values()].some(({ gram }) => gram !== undefined),
        elapsedMs: performance.now() - begun,
      };
    } catch (error) {
      await pool.close();
      folder.suspend(RESUMABLE.has(toSpInferError(error).code));
      throw error;
    }
  } finally {
    await inputs.close();
    closeFiles();
  }
}

/** For statistics alone there must be a text. Throws E_STATS_MISSING. */
export function requireText({ calibration }: Recipe): void {
  if (calibration?.data !== undefined) return;
  throw new SpInferError("E_STATS_MISSING", "calibrate needs a text", {
    expected: "--calib TEXT, or data: under calibration: in the recipe",
  });
}
