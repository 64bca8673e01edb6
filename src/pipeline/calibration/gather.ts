/**
 * Gathers statistics into an unfinished output: block by block into a data file, each block noted in
 * the output's journal, and a statistics file made of it at the end. A run that was killed goes on
 * with the block that it was at.
 */
import { statSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { encodeHeader, type PlacedTensor, planHeader } from "../../../formats/index.ts";
import { SpInferError } from "../../core/errors.ts";
import { isRecord } from "../../core/guards.ts";
import { VERSION } from "../../core/version.ts";
import type {
  DenseTensor,
  LayerInputs,
  ObservedInputs,
  RunnableModel,
} from "../../engine/engine.ts";
import { calibrate } from "../../eval/calibration/calibrate.ts";
import { type HiddenPlace, hiddenPath } from "../../eval/calibration/hiddenStates.ts";
import { writeFully } from "../../io/atomicFile.ts";
import { closeFile } from "../../io/openFile.ts";
import type { OutputFolder } from "../../io/outputFolder.ts";
import { type OnEvent, Progress } from "../events.ts";
import type { FileRecord } from "../manifest.ts";
import { configurePruner } from "../plan/selection.ts";
import type { Plan } from "../plan/steps.ts";
import { type Recipe, recipeToYaml } from "../recipe/index.ts";
import { runSurveys, type StatsPlaces } from "../survey.ts";
import { type StatsPlace, storedTriangle } from "../work/activationStats.ts";
import { cancelled, type Pool } from "../work/pool.ts";
import type { Paths, PrunedPlace } from "../work/tasks.ts";
import { PrunedWeights } from "./prunedWeights.ts";
import {
  METADATA_KEY,
  openStatistics,
  STATISTICS_FILE,
  type StatisticsFacts,
  type StatisticsFile,
  type StatisticsKind,
  stepsThatNeed,
  tensorOf,
} from "./statisticsFile.ts";
import type { CalibrationText } from "./text.ts";

/** Raw values of all blocks, until the statistics file is made of them. */
const DATA_FILE = "calibration.data";
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

/** dense: before the main one, where a survey looks at the model as it was. */
type Pass = "dense" | "main";

/** What a block gave: in the journal, and the table of contents of the data file. */
interface BlockRecord {
  readonly calibrated: Pass;
  readonly block: number;
  /** By the name of the first weight that reads it. */
  readonly inputs: readonly InputRecord[];
  /** Its bytes in the data file. */
  readonly begin: number;
  readonly end: number;
  readonly sha256: string;
}

interface InputRecord {
  readonly input: string;
  readonly weights: readonly string[];
  readonly cols: number;
  readonly parts: readonly {
    readonly kind: StatisticsKind;
    readonly begin: number;
    readonly end: number;
  }[];
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

function isMade(record: unknown): record is { readonly statistics: string } {
  return isRecord(record) && typeof record["statistics"] === "string";
}

class Gathering {
  private readonly request: GatherRequest;
  private readonly pruned: PrunedWeights;
  private readonly mode: "sequential" | "one-pass";
  private readonly observe: "norms" | "gram";
  private readonly dataPath: string;
  private blocks: BlockRecord[] = [];
  private passed: DoneRecord[] = [];

  constructor(request: GatherRequest, pruned: PrunedWeights) {
    this.request = request;
    this.pruned = pruned;
    this.mode = request.recipe.calibration?.mode ?? "one-pass";
    const gram = stepsThatNeed(request.plan).some(({ needs }) => needs.includes("gram"));
    this.observe = gram ? "gram" : "norms";
    this.dataPath = request.output.pathOf(DATA_FILE);
  }

  async run(): Promise<void> {
    await this.recall();
    const { plan, paths, pool, onEvent } = this.request;
    if (this.mode === "one-pass") {
      await this.pass("main");
      return;
    }
    const surveysInputs = stepsThatNeed(plan).some(
      ({ prune }) => configurePruner(prune).survey !== undefined,
    );
    if (surveysInputs) await this.pass("dense");
    const dense = surveysInputs ? this.places("dense") : undefined;
    const decisions = await runSurveys(plan, paths, pool, onEvent, dense);
    await this.pass("main", decisions);
  }

  /** What an earlier run had gathered, as far as its bytes are there. */
  private async recall(): Promise<void> {
    const { output, pool } = this.request;
    const size = statSync(this.dataPath, { throwIfNoEntry: false })?.size ?? 0;
    for (const record of output.finished) {
      if (!isRecord(record)) continue;
      if (typeof record["passed"] === "string") this.passed.push(record as unknown as DoneRecord);
      if (typeof record["calibrated"] !== "string") continue;
      const block = record as unknown as BlockRecord;
      if (block.begin !== this.end() || block.end > size) break;
      const { begin, end } = block;
      const { sha256 } = await pool.run({
        kind: "hash",
        parts: [{ path: this.dataPath, begin, end }],
      });
      if (sha256 !== block.sha256) break;
      this.blocks.push(block);
    }
    closeFile(this.dataPath);
    if (size > this.end()) await truncate(this.dataPath, this.end());
  }

  private end(): number {
    return this.blocks.at(-1)?.end ?? 0;
  }

  private async pass(pass: Pass, decisions?: ReadonlyMap<string, unknown>): Promise<void> {
    const { runnable, text, output, onEvent, signal } = this.request;
    const { blocks } = runnable.facts;
    const known = new Set(
      this.blocks.filter(({ calibrated }) => calibrated === pass).map(({ block }) => block),
    );
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
      take: (block, observed) => this.take(pass, block, observed),
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
    const last = this.passed.findLast(({ passed }) => passed === pass);
    if (last === undefined) return 0;
    for (let block = 0; block <= last.block; block++) if (!known.has(block)) return 0;
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

  /** Writes down what a block saw. */
  private async take(pass: Pass, block: number, observed: ObservedInputs): Promise<void> {
    const begin = this.end();
    const handle = await this.request.output.openFile(DATA_FILE);
    let end = begin;
    const inputs: InputRecord[] = [];
    try {
      for (const { names, sums } of byInput(observed)) {
        const parts: InputRecord["parts"][number][] = [];
        for (const [kind, values] of valuesOf(pass, sums, names[0]!)) {
          const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
          await writeFully(handle, bytes, end);
          parts.push({ kind, begin: end, end: end + bytes.length });
          end += bytes.length;
        }
        inputs.push({ input: names[0]!, weights: names, cols: sums.squares.length, parts });
      }
    } finally {
      await handle.close();
    }
    closeFile(this.dataPath);
    const parts = [{ path: this.dataPath, begin, end }];
    const { sha256 } = await this.request.pool.run({ kind: "hash", parts });
    const record: BlockRecord = { calibrated: pass, block, inputs, begin, end, sha256 };
    this.blocks.push(record);
    this.request.output.record(record);
  }

  /** Where the statistics of a pass are in the data file. */
  private places(pass: Pass): StatsPlaces {
    const { text } = this.request;
    const places = new Map<string, StatsPlace>();
    for (const { calibrated, inputs } of this.blocks) {
      if (calibrated !== pass) continue;
      for (const { weights, cols, parts } of inputs) {
        const range = (kind: StatisticsKind) => {
          const part = parts.find((candidate) => candidate.kind === kind);
          return part === undefined ? undefined : ([part.begin, part.end] as const);
        };
        const squares = range(pass === "dense" ? "dense_squares" : "squares")!;
        const gram = range("gram");
        const place = {
          path: this.dataPath,
          cols,
          tokens: text.ids.length,
          samples: text.nsamples,
          squares,
          sums: range("sums") ?? squares,
          ...(gram === undefined ? {} : { gram }),
        };
        for (const weight of weights) places.set(weight, place);
      }
    }
    return places;
  }

  /** The weights of a block that are pruned, as they come out of it. */
  private async prunedWeights(
    block: number,
    decisions: ReadonlyMap<string, unknown>,
  ): Promise<ReadonlyMap<string, DenseTensor>> {
    const inputs = this.blocks
      .filter((record) => record.calibrated === "main" && record.block === block)
      .flatMap((record) => record.inputs.map(({ weights }) => weights));
    return await this.pruned.prune(inputs, this.places("main"), decisions);
  }

  /** Makes the statistics file of the data. */
  async finish(): Promise<StatisticsFile> {
    const { output, pool } = this.request;
    const placed: PlacedTensor[] = this.blocks.flatMap(({ inputs }) =>
      inputs.flatMap(({ input, cols, parts }) =>
        parts.map(({ kind, begin, end }) => ({
          name: `${input}.${kind}`,
          ...tensorOf(kind, cols),
          begin,
          end,
        })),
      ),
    );
    const parts = [{ path: this.dataPath, begin: 0, end: this.end() }];
    const { sha256 } = await pool.run({ kind: "hash", parts });
    const metadata = { [METADATA_KEY]: JSON.stringify(this.facts(sha256)) };
    const planned = placed.map(({ name, dtype, shape }) => ({
      name,
      dtype: dtype as "F64",
      maxShape: shape,
    }));
    const headerBytes = planHeader(planned, metadata);
    const path = output.pathOf(STATISTICS_FILE);
    const handle = await output.openFile(STATISTICS_FILE);
    try {
      await handle.truncate(0);
      await writeFully(handle, encodeHeader(placed, metadata, headerBytes), 0);
      const part = { name: DATA_FILE, dtype: "U8", shape: [this.end()] };
      const target = { path, position: 8 + headerBytes };
      await pool.run({ kind: "copy", source: parts[0]!, target, part });
      await output.sync(handle, STATISTICS_FILE);
    } finally {
      await handle.close();
    }
    closeFile(path);
    return await openStatistics(path);
  }

  private facts(dataSha256: string): StatisticsFacts {
    const { source, text, recipe, runnable } = this.request;
    const { nsamples, seqlen, windows, seed } = text;
    const inputs = this.blocks.flatMap((record) =>
      record.inputs.flatMap(({ input, weights }) =>
        weights.map((weight) => [weight, input] as const),
      ),
    );
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
      engine: runnable.engine,
      inputs: Object.fromEntries(inputs),
      data_sha256: dataSha256,
    };
  }
}

/** Layers that read the same input, together. */
function byInput(observed: ObservedInputs): { names: string[]; sums: LayerInputs }[] {
  const groups = new Map<LayerInputs, string[]>();
  for (const [name, sums] of observed) {
    const names = groups.get(sums);
    if (names === undefined) groups.set(sums, [name]);
    else names.push(name);
  }
  return [...groups].map(([sums, names]) => ({ names, sums }));
}

/** Throws E_STATS_VALUE. */
function valuesOf(
  pass: Pass,
  { squares, sums, gram }: LayerInputs,
  name: string,
): [StatisticsKind, Float64Array | Float32Array][] {
  if (!squares.every(Number.isFinite) || !sums.every(Number.isFinite)) {
    throw new SpInferError("E_STATS_VALUE", `${name}: its inputs are NaN or infinite`, {
      tensor: name,
      hint: "look for non-finite weights in its block and those before it: spinfer inspect MODEL --layers",
    });
  }
  if (pass === "dense") return [["dense_squares", squares]];
  return [
    ["squares", squares],
    ["sums", sums],
    ...(gram === undefined
      ? []
      : [["gram", storedTriangle(gram, squares.length)] as [StatisticsKind, Float32Array]]),
  ];
}
