/**
 * From a perplexity limit to the largest sparsity that keeps it: prunes, measures, and tries another
 * sparsity until one is near enough (./nextTry.ts). Activations are gathered once for all tries; in
 * sequential mode, where they depend on the sparsity, once for each.
 *
 * What was measured lies in `<out>.spinfer-search` until the output is in its place, so that an
 * interrupted search goes on. The output is then pruned like any other, at the sparsity that was
 * found, and is refused unless its weights are those that were measured, bit for bit.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { SpInferError, toSpInferError } from "../../core/errors.ts";
import { formatPerplexity } from "../../core/figures.ts";
import { formatPercent } from "../../core/text.ts";
import type { EvalReport } from "../../eval/report.ts";
import { copyWhole, writeFileAtomic } from "../../io/atomicFile.ts";
import { acquireLock } from "../../io/lock.ts";
import { closeFiles } from "../../io/openFile.ts";
import { hasUnfinished } from "../../io/outputFolder.ts";
import { readSmallFile } from "../../io/smallFile.ts";
import { calibrateOrGoOn } from "../calibration/resumed.ts";
import { openStatistics, STATISTICS_FILE } from "../calibration/statisticsFile.ts";
import { evaluateModel } from "../evaluate.ts";
import type { OnEvent } from "../events.ts";
import { executeRecipe, RESUMABLE, type RunOptions } from "../execute.ts";
import { MANIFEST_FILE, readManifest } from "../manifest.ts";
import { withSparsity } from "../plan/aim.ts";
import { type PerplexityLimit, perplexityLimit, type Recipe } from "../recipe/index.ts";
import { weightsHash } from "../runIdentity.ts";
import type { RunReport } from "../runReport.ts";
import { cancelled } from "../work/pool.ts";
import { recordOf } from "./found.ts";
import { bestOf, type Goal, nextTry, type Point, STEPS } from "./nextTry.ts";
import {
  ANY_SPARSITY,
  type Prepared,
  prepare,
  STATE_FILE,
  searchFolder,
  takeFolder,
} from "./prepare.ts";
import { eachWarningOnce, SearchProgress } from "./progress.ts";
import {
  SEARCH_STATE_SCHEMA,
  type SearchRecord,
  type SearchState,
  searchStateSchema,
} from "./record.ts";

/** The checkpoint that is being measured. */
const TRY_FOLDER = "try";
/** In sequential mode: what the best try so far was pruned by. */
const BEST_STATISTICS = "best.statistics";
const LARGEST_STATE = 64 * 1024 * 1024;
const LARGEST_MANIFEST = 1024 ** 3;

/**
 * Prunes to the largest sparsity whose perplexity meets the recipe's limit.
 *
 * Throws E_TARGET_UNMET where none does or the dense model does not; what evaluating throws
 * (E_TEXT_SHORT, E_ENGINE_MISSING, …), before anything is pruned; E_PARTIAL_EXISTS and
 * E_RESUME_MISMATCH as other runs; and what calibrating and pruning throw.
 */
export async function pruneToPerplexity(
  model: string,
  output: string,
  asked: Recipe,
  options: RunOptions = {},
): Promise<RunReport> {
  const limit = perplexityLimit(asked.prune?.target);
  if (limit === undefined) throw new SpInferError("E_INTERNAL", "the recipe has no limit");
  const begun = performance.now();
  const prepared = await prepare(model, output, asked, options);
  const folder = searchFolder(output);
  const lock = acquireLock(`${folder}-lock`);
  try {
    const anew = takeFolder(folder, output, options);
    let goesOn = false;
    try {
      const search = new Search(model, output, asked, limit, prepared, anew, options);
      const report = await search.run();
      return { ...report, elapsedMs: performance.now() - begun };
    } catch (thrown) {
      const { signal } = options;
      const error = signal?.aborted === true ? cancelled(signal) : toSpInferError(thrown);
      goesOn = KEPT.has(error.code) && existsSync(join(folder, STATE_FILE));
      throw error;
    } finally {
      closeFiles();
      if (!goesOn) rmSync(folder, { recursive: true, force: true });
    }
  } finally {
    lock.release();
  }
}

/**
 * After these a search can be gone on with: the surroundings failed, or the output is in the way.
 * What is wrong with the input is as wrong the next time.
 */
const KEPT: ReadonlySet<string> = new Set([
  ...RESUMABLE,
  ...["E_RESUME_MISMATCH", "E_LOCKED", "E_OUTPUT_EXISTS", "E_PARTIAL_EXISTS"],
]);

class Search {
  private readonly model: string;
  private readonly output: string;
  private readonly asked: Recipe;
  private readonly limit: PerplexityLimit;
  private readonly prepared: Prepared;
  private readonly anew: boolean;
  private readonly options: RunOptions;
  private readonly onEvent: OnEvent;
  private readonly folder: string;

  constructor(
    model: string,
    output: string,
    asked: Recipe,
    limit: PerplexityLimit,
    prepared: Prepared,
    anew: boolean,
    options: RunOptions,
  ) {
    this.model = model;
    this.output = output;
    this.asked = asked;
    this.limit = limit;
    this.prepared = prepared;
    this.anew = anew;
    this.options = options;
    this.onEvent = eachWarningOnce(options.onEvent ?? (() => undefined));
    this.folder = searchFolder(output);
  }

  async run(): Promise<RunReport> {
    const earlier = this.anew ? undefined : await this.recall();
    let state = earlier ?? (await this.begin());
    const goal = this.goalOf(state);
    const progress = new SearchProgress(this.onEvent);
    progress.evaluated("dense", state.dense.perplexity, earlier !== undefined, false);
    for (const { step, perplexity } of state.tries)
      progress.evaluated(nameOf(step), perplexity, true, false);
    const statistics = await this.statistics(state);
    state = { ...state, statistics_sha256: statistics?.sha256 ?? null };
    let next = nextTry(pointsOf(state), goal);
    while ("try" in next) {
      const tried = await this.measure(next.try, state, statistics?.path);
      state = { ...state, tries: [...state.tries, tried] };
      if (bestOf(pointsOf(state), goal)?.step === tried.step) this.keepStatistics();
      await this.save(state);
      rmSync(this.pathOf(TRY_FOLDER), { recursive: true, force: true });
      next = nextTry(pointsOf(state), goal);
      progress.evaluated(nameOf(tried.step), tried.perplexity, false, !("try" in next));
    }
    progress.end();
    if ("unmet" in next) throw this.unmet(state, goal);
    const search = recordOf(this.limit, state, goal, next);
    return await this.write(state, search, next.found, statistics?.path);
  }

  private pathOf(name: string): string {
    return join(this.folder, name);
  }

  private async save(state: SearchState): Promise<void> {
    const text = `${JSON.stringify(state, undefined, 1)}\n`;
    await writeFileAtomic(this.pathOf(STATE_FILE), new TextEncoder().encode(text));
  }

  /** What an interrupted search measured. Throws E_RESUME_MISMATCH for another one. */
  private async recall(): Promise<SearchState> {
    const path = this.pathOf(STATE_FILE);
    const bytes = await readSmallFile(path, LARGEST_STATE);
    closeFiles();
    let found: SearchState | undefined;
    try {
      const raw: unknown = JSON.parse(new TextDecoder().decode(bytes));
      found = searchStateSchema.safeParse(raw).data;
    } catch {
      // not ours: told apart below
    }
    if (found?.fingerprint === this.prepared.fingerprint) return found;
    throw this.mismatch("another input, other options or another version of SpInfer");
  }

  private mismatch(what: string): SpInferError {
    return new SpInferError("E_RESUME_MISMATCH", `${this.folder}: the unfinished run had ${what}`, {
      path: this.folder,
      hint: "use the options of that run, or start again with --restart",
    });
  }

  /** The dense model's perplexity: what a relative limit is about, and the least that can be met. */
  private async begin(): Promise<SearchState> {
    const dense = await this.evaluate(this.model);
    const state: SearchState = {
      schema: SEARCH_STATE_SCHEMA,
      fingerprint: this.prepared.fingerprint,
      dense,
      statistics_sha256: null,
      tries: [],
    };
    this.goalOf(state);
    await this.save(state);
    return state;
  }

  /** Throws E_TARGET_UNMET where the dense model misses the limit. */
  private goalOf({ dense: { perplexity: dense, stderr } }: SearchState): Goal {
    const { metric, bound, text } = this.limit;
    const limit = metric === "delta" ? dense * (1 + bound) : bound;
    if (dense <= limit) return { dense, limit };
    const error = stderr === null ? "" : ` ± ${formatPerplexity(stderr)}`;
    throw new SpInferError("E_TARGET_UNMET", `${text}: the dense model misses it already`, {
      path: this.model,
      found: `a perplexity of ${formatPerplexity(dense)}${error} before pruning`,
      expected: `at most ${formatPerplexity(limit)}`,
      hint: "set a limit above the dense model's perplexity, or one relative to it such as ppl<=+5%",
    });
  }

  private async evaluate(model: string): Promise<EvalReport> {
    const { data, field, protocol, ctx, stride, maxWindows, bos } = this.asked.evaluation!;
    const { limits, followSymlinks, keepUnknown, engine, threads, tokenizer, signal } =
      this.options;
    return await evaluateModel(model, {
      ...{ dataset: data, field, protocol, ctx, stride, maxWindows, bos },
      ...{ limits, followSymlinks, keepUnknown, engine, threads, tokenizer, signal },
      onEvent: this.onEvent,
    });
  }

  /** What all tries are pruned by; undefined where that is nothing, or of each try its own. */
  private async statistics(
    state: SearchState,
  ): Promise<{ readonly path: string; readonly sha256: string } | undefined> {
    const { statistics } = this.options;
    const { calibrates } = this.prepared;
    if (calibrates === "each try") {
      const message =
        "mode sequential: activations depend on the sparsity, each try calibrates anew";
      this.onEvent({ type: "warning", code: "W_CALIBRATION", message });
      return undefined;
    }
    if (calibrates === "never" && (statistics === undefined || !existsSync(statistics)))
      return undefined;
    const path = statistics ?? this.pathOf(STATISTICS_FILE);
    if (!existsSync(path)) {
      const recipe = withSparsity(this.asked, ANY_SPARSITY);
      await calibrateOrGoOn(this.model, path, recipe, { ...this.options, onEvent: this.onEvent });
    }
    const { sha256 } = await openStatistics(path);
    const { statistics_sha256: before } = state;
    if (before !== null && before !== sha256) throw this.mismatch("other statistics");
    await this.save({ ...state, statistics_sha256: sha256 });
    return { path, sha256 };
  }

  /** Prunes to a sparsity and evaluates what came out, unless these very weights were. */
  private async measure(
    step: number,
    { tries }: SearchState,
    statistics: string | undefined,
  ): Promise<SearchState["tries"][number]> {
    const path = this.pathOf(TRY_FOLDER);
    const { calibration: _, ...uncalibrated } = this.asked;
    const recipe = this.prepared.calibrates === "each try" ? this.asked : uncalibrated;
    const report = await executeRecipe(this.model, path, withSparsity(recipe, step / STEPS), {
      ...this.options,
      statistics,
      force: true,
      unfinished: "restart",
      onEvent: this.onEvent,
    });
    const manifestPath = join(path, MANIFEST_FILE);
    const manifest = readManifest(
      await readSmallFile(manifestPath, LARGEST_MANIFEST),
      manifestPath,
    );
    const weights_sha256 = weightsHash(manifest);
    const known = tries.find((other) => other.weights_sha256 === weights_sha256);
    const { perplexity, stderr } = known ?? (await this.perplexityOf(path));
    closeFiles();
    return { step, zeros: report.sparsity, perplexity, stderr, weights_sha256 };
  }

  /** null where the model's numbers became NaN or infinite: too much is gone. */
  private async perplexityOf(path: string) {
    try {
      const { perplexity, stderr } = await this.evaluate(path);
      return { perplexity, stderr };
    } catch (error) {
      if (toSpInferError(error).code !== "E_ACTIVATIONS") throw error;
      return { perplexity: null, stderr: null };
    }
  }

  /** Before the try is noted: one that is not is made again, and its statistics with it. */
  private keepStatistics(): void {
    const path = join(this.pathOf(TRY_FOLDER), STATISTICS_FILE);
    if (existsSync(path)) renameSync(path, this.pathOf(BEST_STATISTICS));
  }

  /** Prunes once more, for good. */
  private async write(
    state: SearchState,
    search: SearchRecord,
    { step }: Point,
    shared: string | undefined,
  ): Promise<RunReport> {
    const { statistics: named, unfinished } = this.options;
    const own = [shared, this.pathOf(BEST_STATISTICS)].find(
      (path) => path !== undefined && path !== named && existsSync(path),
    );
    if (named !== undefined && own !== undefined && !existsSync(named)) await copyWhole(own, named);
    let then: RunOptions["unfinished"] = "refuse";
    if (hasUnfinished(this.output)) then = unfinished === "restart" ? "restart" : "resume";
    else if (unfinished === "resume") await this.requireUnpublished(search);
    const tried = state.tries.find((one) => one.step === step)!;
    return await executeRecipe(
      this.model,
      this.output,
      withSparsity(this.asked, step / STEPS),
      { ...this.options, unfinished: then, onEvent: this.onEvent },
      {
        search,
        weightsSha256: tried.weights_sha256,
        statistics: named === undefined ? own : undefined,
      },
    );
  }

  /** A run that was killed when all was done has left its folder behind. Throws E_NOTHING_TO_RESUME. */
  private async requireUnpublished(search: SearchRecord): Promise<void> {
    const path = join(resolve(this.output), MANIFEST_FILE);
    if (!existsSync(path)) return;
    const there = readManifest(await readSmallFile(path, LARGEST_MANIFEST), path).search;
    closeFiles();
    if (JSON.stringify(there) !== JSON.stringify(search)) return;
    throw new SpInferError("E_NOTHING_TO_RESUME", `${this.output}: there is no unfinished search`, {
      path: this.output,
      found: "the complete output of an interrupted run",
      hint: "nothing is left to do",
    });
  }

  private unmet({ tries, dense }: SearchState, { limit }: Goal): SpInferError {
    const seen = tries.filter(({ perplexity }) => perplexity !== null);
    const best = seen.toSorted((a, b) => a.perplexity! - b.perplexity!)[0];
    return new SpInferError("E_TARGET_UNMET", `no sparsity keeps ${this.limit.text}`, {
      path: this.model,
      found:
        best === undefined
          ? `${tries.length} tries, none of which gave a number`
          : `at best ${formatPerplexity(best.perplexity!)}, at a sparsity of ${formatPercent(best.step / STEPS)}, in ${tries.length} tries`,
      expected: `at most ${formatPerplexity(limit)}; the dense model has ${formatPerplexity(dense.perplexity)}`,
      hint: "raise the limit, or give overrides that say a sparsity less of it",
    });
  }
}

function nameOf(step: number): string {
  return `sparsity ${step / STEPS}`;
}

function pointsOf({ tries }: SearchState): readonly Point[] {
  return tries.map(({ step, perplexity }) => ({ step, perplexity }));
}
