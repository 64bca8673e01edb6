/** Before a search runs a model: what identifies it, what can be refused, and its folder. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { SpInferError, toSpInferError } from "../../core/errors.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { VERSION } from "../../core/version.ts";
import { openTextSet } from "../../eval/textSet.ts";
import { closeFiles } from "../../io/openFile.ts";
import { checkOutput, hasUnfinished } from "../../io/outputFolder.ts";
import { requireInputs } from "../calibration/inputs.ts";
import { openStatistics, stepsThatNeed } from "../calibration/statisticsFile.ts";
import { inputPath, type RunOptions } from "../execute.ts";
import { openModel } from "../openModel.ts";
import { recordedRecipe } from "../outputRecords.ts";
import { withSparsity } from "../plan/aim.ts";
import { makePlan } from "../plan/plan.ts";
import type { Recipe } from "../recipe/index.ts";
import { SourceHashes } from "../sourceHashes.ts";
import { createPool } from "../work/pool.ts";

export const STATE_FILE = "search.json";
/** Where calibration and planning must have one: statistics of one pass do not depend on it. */
export const ANY_SPARSITY = 0.5;

/** Where a search keeps what it knows of an output. */
export function searchFolder(output: string): string {
  return `${resolve(output)}.spinfer-search`;
}

export interface Prepared {
  /** Identifies the search: one that is gone on with must have the same. */
  readonly fingerprint: string;
  /** How many calibrations there are. */
  readonly calibrates: "never" | "once" | "each try";
}

/** Everything that can be refused before a model runs. */
export async function prepare(
  model: string,
  output: string,
  asked: Recipe,
  options: RunOptions,
): Promise<Prepared> {
  const { limits = DEFAULT_LIMITS, threads = availableParallelism(), statistics } = options;
  const { calibration, evaluation, convert } = asked;
  const opened = await openModel(model, { ...options, dtype: options.dtype ?? convert.dtype });
  const { force = false, unfinished } = options;
  if (unfinished !== "resume") checkOutput({ path: output, inputs: [inputPath(opened)], force });
  const plan = makePlan(opened.archive, withSparsity(asked, ANY_SPARSITY), { threads, limits });
  requireInputs(plan, asked, statistics);
  const textHash = async (path: string | undefined, field: string | undefined) =>
    path === undefined
      ? null
      : (await openTextSet(path, { field, limitBytes: limits.textBytes })).sha256;
  const given = statistics !== undefined && existsSync(statistics);
  const texts = [
    await textHash(calibration?.data, calibration?.field),
    await textHash(evaluation?.data, evaluation?.field),
  ];
  const pool = createPool(1, { signal: options.signal });
  const onEvent = options.onEvent ?? (() => undefined);
  const source = await new SourceHashes(opened, pool, onEvent).all().finally(() => pool.close());
  const identity = [
    VERSION,
    recordedRecipe(asked),
    texts,
    source.map(({ sha256 }) => sha256),
    // a file that is made on the way is known by its text
    calibration?.data === undefined && given ? (await openStatistics(statistics)).sha256 : null,
    options.tokenizer ?? null,
    options.engine ?? null,
    options.dtype ?? null,
  ];
  closeFiles();
  let calibrates: Prepared["calibrates"] = "never";
  if (stepsThatNeed(plan).length > 0 && !given)
    calibrates = calibration?.mode === "sequential" ? "each try" : "once";
  const fingerprint = createHash("sha256").update(JSON.stringify(identity)).digest("hex");
  return { fingerprint, calibrates };
}

/** Whether the search begins anew. Throws E_PARTIAL_EXISTS, E_NOTHING_TO_RESUME. */
export function takeFolder(folder: string, output: string, { unfinished = "refuse" }: RunOptions) {
  const there = existsSync(join(folder, STATE_FILE));
  if (unfinished === "refuse" && (there || hasUnfinished(output))) {
    const path = there ? folder : `${resolve(output)}.spinfer-partial`;
    throw new SpInferError("E_PARTIAL_EXISTS", `${path}: an unfinished run is there`, {
      path,
      hint: "go on with --resume and the options of that run, or start again with --restart",
    });
  }
  if (unfinished === "resume" && !there) {
    throw new SpInferError("E_NOTHING_TO_RESUME", `${output}: there is no unfinished search`, {
      path: output,
      hint: "run the command without --resume",
    });
  }
  if (unfinished === "restart") rmSync(folder, { recursive: true, force: true });
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw toSpInferError(error, { path: folder });
  }
  return unfinished !== "resume";
}
