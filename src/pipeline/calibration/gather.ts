/**
 * Gathers statistics into an unfinished output, block by block (./blockData.ts). A run that was killed
 * goes on with the block that it was at.
 */
import { statSync } from "node:fs";
import { isRecord } from "../../core/guards.ts";
import { VERSION } from "../../core/version.ts";
import { type DenseTensor, engineLabel, type RunnableModel } from "../../engine/engine.ts";
import { calibrate } from "../../eval/calibration/calibrate.ts";
import { type HiddenPlace, hiddenPath } from "../../eval/calibration/hiddenStates.ts";
import type { OutputFolder } from "../../io/outputFolder.ts";
import { type OnEvent, Progress } from "../events.ts";
import type { FileRecord } from "../manifest.ts";
import { configurePruner } from "../plan/selection.ts";
import type { Plan } from "../plan/steps.ts";
import { type Recipe, recipeToYaml } from "../recipe/index.ts";
import { runSurveys } from "../survey.ts";
import { cancelled, type Pool } from "../work/pool.ts";
import type { Paths, PrunedPlace } from "../work/tasks.ts";
import { BlockData, type Pass } from "./blockData.ts";
import { PrunedWeights } from "./prunedWeights.ts";
import {
  openStatistics,
  STATISTICS_FILE,
  type StatisticsFacts,
  type StatisticsFile,
  stepsThatNeed,
} from "./statisticsFile.ts";
import type { CalibrationText } from "./text.ts";

/** Hidden states that are kept in memory besides their file. */
const HIDDEN_BYTES = 512 * 1024 * 1024;

export interface GatherRequest {
  readonly runnable: RunnableModel;
  readonly plan: Plan;
  readonly recipe: Recipe;
  readonly text: CalibrationText;
  readonly paths: Paths;
  readonly source: readonly FileRecord[];
  readonly output: OutputFolder;
  readonly pool: Pool;
  /** Whether weights that are pruned on the way are kept, to be stored. */
  readonly keepPruned: boolean;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
}

/** The statistics file in the unfinished output, and the weights that were pruned on the way. */
export interface Gathered {
  readonly file: StatisticsFile;
  readonly pruned: ReadonlyMap<string, PrunedPlace>;
}

/** A block is done: the hidden states of the next are in their file. */
interface DoneRecord {
  readonly passed: Pass;
  readonly block: number;
  readonly sha256: string;
}

export async function gatherStatistics(request: GatherRequest): Promise<Gathered> {
  const { output, plan, paths, pool, keepPruned } = request;
  const pruned = new PrunedWeights({ plan, paths, pool, output, keep: keepPruned });
  const path = output.pathOf(STATISTICS_FILE);
  const made = output.finished.findLast(isMade);
  if (made !== undefined) {
    try {
      const file = await openStatistics(path);
      if (file.sha256 === made.statistics) return { file, pruned: pruned.places };
    } catch {
      // gathered again
    }
  }
  const gathering = new Gathering(request, pruned);
  await gathering.run();
  const file = await gathering.finish();
  output.record({ statistics: file.sha256 });
  return { file, pruned: pruned.places };
}

function isDone(record: unknown): record is DoneRecord {
  return isRecord(record) && typeof record["passed"] === "string";
}

function isMade(record: unknown): record is { readonly statistics: string } {
  return isRecord(record) && typeof record["statistics"] === "string";
}

class Gathering {
  private readonly request: GatherRequest;
  private readonly pruned: PrunedWeights;
  private readonly mode: "sequential" | "one-pass";
  private readonly observe: "norms" | "gram";
  private readonly data: BlockData;
  private readonly passed: DoneRecord[];

  constructor(request: GatherRequest, pruned: PrunedWeights) {
    this.request = request;
    this.pruned = pruned;
    this.mode = request.recipe.calibration?.mode ?? "one-pass";
    const gram = stepsThatNeed(request.plan).some(({ needs }) => needs.includes("gram"));
    this.observe = gram ? "gram" : "norms";
    this.data = new BlockData(request.output, request.pool);
    this.passed = request.output.finished.filter(isDone);
  }

  async run(): Promise<void> {
    await this.data.recall();
    const { plan, paths, pool, text, onEvent } = this.request;
    if (this.mode === "one-pass") {
      await this.pass("main");
      return;
    }
    const surveysInputs = stepsThatNeed(plan).some(
      ({ prune }) => configurePruner(prune).survey !== undefined,
    );
    if (surveysInputs) await this.pass("dense");
    const dense = surveysInputs ? this.data.places("dense", text) : undefined;
    const decisions = await runSurveys(plan, paths, pool, onEvent, dense);
    await this.pass("main", decisions);
  }

  private async pass(pass: Pass, decisions?: ReadonlyMap<string, unknown>): Promise<void> {
    const { runnable, text, output, onEvent, signal } = this.request;
    const { blocks } = runnable.facts;
    const known = this.data.known(pass);
    const hidden = { folder: output.partial, prefix: pass, memoryBytes: HIDDEN_BYTES };
    const from = await this.firstBlock(pass, known, hidden);
    if (from === blocks) return;
    const progress = new Progress(onEvent, "calibrate", blocks, 0);
    for (let block = 0; block < from; block++) progress.item(`block ${block}`, 0, true);
    await calibrate({
      model: runnable,
      ids: text.ids,
      length: text.seqlen,
      observe: pass === "dense" ? "norms" : this.observe,
      hidden,
      from,
      known: (block) => known.has(block),
      take: (block, observed) => this.data.take(pass, block, observed),
      ...(decisions === undefined
        ? {}
        : { pruned: (block: number) => this.prunedWeights(block, decisions) }),
      done: async (block) => {
        await this.blockDone(pass, block, hidden, block === blocks - 1);
        progress.item(`block ${block}`, 0, known.has(block));
      },
      signal,
      cancelled,
    });
    progress.end();
  }

  /** The block to go on with: the first, unless the hidden states of a later one are there. */
  private async firstBlock(
    pass: Pass,
    known: ReadonlySet<number>,
    hidden: HiddenPlace,
  ): Promise<number> {
    let count = 0;
    while (known.has(count)) count++;
    const last = this.passed.findLast(({ passed, block }) => passed === pass && block < count);
    if (last === undefined) return 0;
    const next = last.block + 1;
    if (next === this.request.runnable.facts.blocks) return next;
    const path = hiddenPath(hidden, next);
    return (await this.hashOf(path)) === last.sha256 ? next : 0;
  }

  private async hashOf(path: string): Promise<string | undefined> {
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) return undefined;
    const parts = [{ path, begin: 0, end: size }];
    return (await this.request.pool.run({ kind: "hash", parts })).sha256;
  }

  private async blockDone(
    pass: Pass,
    block: number,
    hidden: HiddenPlace,
    last: boolean,
  ): Promise<void> {
    const sha256 = last ? "" : ((await this.hashOf(hiddenPath(hidden, block + 1))) ?? "");
    const record: DoneRecord = { passed: pass, block, sha256 };
    this.passed.push(record);
    this.request.output.record(record);
  }

  /** The weights of a block that are pruned, as they come out of it. */
  private async prunedWeights(
    block: number,
    decisions: ReadonlyMap<string, unknown>,
  ): Promise<ReadonlyMap<string, DenseTensor>> {
    const places = this.data.places("main", this.request.text);
    return await this.pruned.prune(this.data.weightsOf("main", block), places, decisions);
  }

  async finish(): Promise<StatisticsFile> {
    return await this.data.finish((sha256) => this.facts(sha256));
  }

  private facts(dataSha256: string): StatisticsFacts {
    const { source, text, recipe, runnable } = this.request;
    const { nsamples, seqlen, windows, seed } = text;
    const { version, prune, convert } = recipe;
    const sequential = this.mode === "sequential" && prune !== undefined;
    return {
      schema: "spinfer.statistics/1",
      created_by: { name: "spinfer", version: VERSION },
      source: source.map(({ bytes, sha256 }) => ({ bytes, sha256 })),
      text_sha256: text.textSha256,
      tokenizer_sha256: text.tokenizerSha256,
      ...{ nsamples, seqlen, windows, seed, mode: this.mode },
      pruned: sequential ? recipeToYaml({ version, prune, convert }) : null,
      engine: engineLabel(runnable),
      inputs: this.data.inputs(),
      data_sha256: dataSha256,
    };
  }
}
