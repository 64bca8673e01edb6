/**
 * Executes a plan: tensor by tensor from a source into a new checkpoint folder, in worker threads.
 *
 * Memory: 3 × the largest tensor + 256 MiB. The output appears whole or not at all; a killed run
 * leaves `<out>.spinfer-partial`, which `unfinished: "resume"` completes to the same bytes.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { relative } from "node:path";
import { toSpInferError } from "../core/errors.ts";
import { groupBy } from "../core/groupBy.ts";
import { isRecord } from "../core/guards.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { copyWhole } from "../io/atomicFile.ts";
import type { IfUnfinished } from "../io/ifUnfinished.ts";
import { closeFiles } from "../io/openFile.ts";
import { checkOutput, OutputFolder } from "../io/outputFolder.ts";
import { type Gathered, gatherStatistics } from "./calibration/gather.ts";
import { type ActivationInputs, prepareInputs } from "./calibration/inputs.ts";
import { checkStatistics, STATISTICS_FILE } from "./calibration/statisticsFile.ts";
import { checkSpace } from "./diskSpace.ts";
import { type OnEvent, Progress } from "./events.ts";
import { type FileRecord, MANIFEST_FILE, type Manifest, writeManifest } from "./manifest.ts";
import {
  checkStamps,
  type OpenedModel,
  type OpenModelOptions,
  openModel,
  stampSources,
} from "./openModel.ts";
import { configOf, indexOf, manifestOf, recordedRecipe } from "./outputRecords.ts";
import { aimRecipe } from "./plan/aim.ts";
import { memoryBudget } from "./plan/memory.ts";
import { makePlan } from "./plan/plan.ts";
import type { Plan } from "./plan/steps.ts";
import type { Recipe } from "./recipe/index.ts";
import { type Found, fingerprint, requireFound } from "./runIdentity.ts";
import type { RunModelOptions } from "./runModel.ts";
import { type RunReport, reportOf } from "./runReport.ts";
import { SourceHashes } from "./sourceHashes.ts";
import { runSurveys } from "./survey.ts";
import { createPool, type Pool } from "./work/pool.ts";
import type { Paths } from "./work/tasks.ts";
import { type TensorRecord, type WrittenShard, writeShard } from "./writeShard.ts";

export interface RunOptions extends OpenModelOptions, Pick<RunModelOptions, "engine"> {
  /**
   * A statistics file. One that exists is used; else the statistics that are gathered on the
   * recipe's text go there instead of into the output.
   */
  readonly statistics?: string | undefined;
  /** A tokenizer.json or its folder, for the text that is calibrated on; absent: the model's own. */
  readonly tokenizer?: string | undefined;
  /** Worker threads; absent: as many as the machine runs at once. 0: none. */
  readonly threads?: number | undefined;
  readonly force?: boolean | undefined;
  readonly unfinished?: IfUnfinished | undefined;
  readonly skipSpaceCheck?: boolean | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Prunes or converts a model as the recipe says. The recipe names no output; `output` does. Throws
 * E_OPTION for a perplexity limit, whose sparsity must be found first (./search/search.ts), and
 * E_SOURCE_CHANGED where the weights are not those that were `found`.
 */
export async function executeRecipe(
  model: string,
  output: string,
  asked: Recipe,
  options: RunOptions = {},
  found?: Found,
): Promise<RunReport> {
  const begun = performance.now();
  const opened = await openModel(model, {
    ...options,
    dtype: options.dtype ?? asked.convert.dtype,
  });
  if (options.unfinished !== "resume") {
    checkOutput({ path: output, inputs: [inputPath(opened)], force: options.force ?? false });
  }
  const threads = options.threads ?? availableParallelism();
  const planning = { threads, limits: options.limits ?? DEFAULT_LIMITS };
  const recipe = aimRecipe(opened.archive, asked, planning);
  const plan = makePlan(opened.archive, recipe, planning);
  const inputs = await prepareInputs(opened, plan, recipe, {
    ...options,
    statistics: found?.statistics ?? options.statistics,
  });
  try {
    return await new Run(opened, output, recipe, plan, inputs, options, found, begun).execute();
  } finally {
    await inputs.close();
  }
}

/** The statistics that weights are pruned by, and whether they stay in the output. */
interface UsedStatistics extends Gathered {
  readonly kept: boolean;
}

function recordOf({ file, kept }: UsedStatistics): NonNullable<Manifest["statistics"]> {
  const { bytes, sha256, facts } = file;
  const { nsamples, seqlen, windows, seed, mode, engine } = facts;
  const { text_sha256, tokenizer_sha256 } = facts;
  return {
    ...{ file: kept ? STATISTICS_FILE : null, bytes, sha256 },
    ...{ text_sha256, tokenizer_sha256, nsamples, seqlen, windows, seed, mode, engine },
  };
}

/** What the journal knows of tensors; it knows of calibration too. */
function tensorRecords({ finished }: OutputFolder): readonly TensorRecord[] {
  return finished.filter((record) => isRecord(record) && "tensor" in record) as TensorRecord[];
}

interface HashedShard extends WrittenShard {
  readonly sha256: string;
}

class Run {
  private readonly model: OpenedModel;
  private readonly outputPath: string;
  private readonly recipe: Recipe;
  private readonly plan: Plan;
  private readonly inputs: ActivationInputs;
  private readonly options: RunOptions;
  private readonly found: Found | undefined;
  private readonly begun: number;
  private readonly onEvent: OnEvent;
  private resumed = 0;

  constructor(
    model: OpenedModel,
    output: string,
    recipe: Recipe,
    plan: Plan,
    inputs: ActivationInputs,
    options: RunOptions,
    found: Found | undefined,
    begun: number,
  ) {
    this.model = model;
    this.outputPath = output;
    this.recipe = recipe;
    this.plan = plan;
    this.inputs = inputs;
    this.options = options;
    this.found = found;
    this.begun = begun;
    this.onEvent = (event) => {
      if (event.type === "item" && event.resumed) this.resumed++;
      options.onEvent?.(event);
    };
  }

  async execute(): Promise<RunReport> {
    const { options, plan, model } = this;
    for (const message of plan.warnings) this.onEvent({ type: "warning", code: "W_PLAN", message });
    const stamps = stampSources(model);
    const output = OutputFolder.open({
      path: this.outputPath,
      inputs: [inputPath(model)],
      force: options.force ?? false,
      unfinished: options.unfinished ?? "refuse",
      fingerprint: fingerprint(plan, this.recipe, stamps, this.inputs.fingerprint),
    });
    const pool = createPool(plan.threads, {
      signal: options.signal,
      bufferBytes: idleBytes(plan),
    });
    try {
      if (options.skipSpaceCheck !== true) checkSpace(output, plan, this.recipe, this.inputs);
      const sources = new SourceHashes(model, pool, this.onEvent);
      const statistics = await this.statistics(pool, output, sources);
      const shards = await this.writeShards(pool, output, sources, statistics);
      const files = await this.finishFiles(output, shards, statistics);
      const source = await sources.all();
      checkStamps(model, stamps);
      const manifest = manifestOf({
        plan,
        recipe: this.recipe,
        source: {
          model: sourceName(model, this.outputPath),
          format: model.archive.format,
          files: source,
        },
        files,
        shards,
        statistics: statistics && recordOf(statistics),
        search: this.found?.search,
      });
      requireFound(manifest, this.found, this.outputPath);
      const bytes = writeManifest(manifest);
      await output.writeFile(MANIFEST_FILE, bytes);
      await pool.close();
      closeFiles();
      await output.publish([...files.map(({ path }) => path), MANIFEST_FILE]);
      return reportOf(manifest, {
        ...{ plan, output: output.path, resumedTensors: this.resumed, search: this.found?.search },
        bytesIn: model.archive.tensorFiles.reduce((sum, { bytes }) => sum + bytes, 0),
        manifestSha256: createHash("sha256").update(bytes).digest("hex"),
        elapsedMs: performance.now() - this.begun,
      });
    } catch (error) {
      await pool.close(); // no thread may write into what another run can take from here on
      output.suspend(RESUMABLE.has(toSpInferError(error).code));
      throw error;
    } finally {
      closeFiles();
    }
  }

  /** What is known of the inputs of each matrix; undefined when nothing asks for it. */
  private async statistics(
    pool: Pool,
    output: OutputFolder,
    sources: SourceHashes,
  ): Promise<UsedStatistics | undefined> {
    const { plan, recipe, inputs, options } = this;
    if (inputs.kind === "none") return undefined;
    const source = await sources.all();
    if (inputs.kind === "file") {
      checkStatistics(inputs.file, plan, source);
      const kept = this.found?.statistics !== undefined;
      if (kept) await copyWhole(inputs.file.path, output.pathOf(STATISTICS_FILE));
      return { file: inputs.file, pruned: new Map(), kept };
    }
    const { file, pruned } = await gatherStatistics({
      ...{ runnable: inputs.runnable, text: inputs.text, plan, recipe, source, output, pool },
      paths: this.paths(),
      keepPruned: true,
      onEvent: this.onEvent,
      signal: options.signal,
    });
    checkStatistics(file, plan, source);
    if (options.statistics === undefined) return { file, pruned, kept: true };
    await copyWhole(file.path, options.statistics);
    return { file, pruned, kept: false };
  }

  private paths(): Paths {
    const { archive, pathOf } = this.model;
    return Object.fromEntries(archive.tensorFiles.map(({ name }) => [name, pathOf(name)]));
  }

  private async writeShards(
    pool: Pool,
    output: OutputFolder,
    sources: SourceHashes,
    statistics: UsedStatistics | undefined,
  ): Promise<HashedShard[]> {
    const { plan, recipe } = this;
    const paths = this.paths();
    const stats = statistics?.file.places ?? new Map();
    const decisions = await runSurveys(plan, paths, pool, this.onEvent, stats);
    const phase = recipe.prune === undefined ? "convert" : "prune";
    const progress = new Progress(this.onEvent, phase, plan.steps.length, plan.totals.bytesIn);
    const steps = new Map(plan.steps.map((step) => [step.name, step]));
    const finished = groupBy(tensorRecords(output), ({ tensor }) => tensor);
    const { strictFinite } = recipe.convert;
    const pruned = statistics?.pruned ?? new Map();
    const fixed = {
      ...{ plan, steps, paths, pool, output, strictFinite, decisions, stats, finished, progress },
      pruned,
    };
    const shards: WrittenShard[] = [];
    try {
      for (const shard of plan.shards) {
        for (const name of shard.tensors) sources.start(steps.get(name)!.source.extents);
        shards.push(await writeShard(shard, fixed));
        await shards.at(-2)?.settled; // one file is synced and hashed while the next is written
      }
      progress.end();
      return await this.awaitSettled(shards);
    } catch (error) {
      await Promise.allSettled(shards.map(({ settled }) => settled));
      throw error;
    }
  }

  private async awaitSettled(shards: readonly WrittenShard[]): Promise<HashedShard[]> {
    const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    const progress = new Progress(this.onEvent, "write", shards.length, bytes);
    const hashed: HashedShard[] = [];
    for (const shard of shards) {
      hashed.push({ ...shard, ...(await shard.settled) });
      progress.item(shard.file, shard.bytes);
    }
    progress.end();
    return hashed;
  }

  /** Side files, config, recipe, index. Returns all files of the output. */
  private async finishFiles(
    output: OutputFolder,
    shards: readonly HashedShard[],
    statistics: UsedStatistics | undefined,
  ): Promise<FileRecord[]> {
    const { archive } = this.model;
    const small = new Map<string, Uint8Array>();
    for (const { name, content } of archive.sideFiles) {
      small.set(name, content.from === "bytes" ? content.bytes : await readWhole(this.model, name));
    }
    const config = configOf(archive, this.plan, shards);
    if (config !== undefined) small.set("config.json", new TextEncoder().encode(config));
    small.set("recipe.yaml", new TextEncoder().encode(recordedRecipe(this.recipe)));
    if (shards.length > 1) small.set("model.safetensors.index.json", indexOf(shards));
    for (const [name, bytes] of small) await output.writeFile(name, bytes);
    const tensorFiles = shards.map(({ file, bytes, sha256 }) => ({ path: file, bytes, sha256 }));
    const smallFiles = [...small].map(([path, bytes]) => ({
      path,
      bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    }));
    const kept = statistics?.kept === true ? [statistics.file] : [];
    const statisticsFiles = kept.map(({ bytes, sha256 }) => ({
      path: STATISTICS_FILE,
      bytes,
      sha256,
    }));
    return [...tensorFiles, ...smallFiles, ...statisticsFiles].sort((a, b) =>
      a.path < b.path ? -1 : 1,
    );
  }
}

/** Failures of the surroundings; what is wrong with the input is as wrong the next time. */
export const RESUMABLE: ReadonlySet<string> = new Set([
  "E_CANCELLED",
  "E_INTERNAL",
  "E_IO",
  "E_MEMORY",
  "E_NO_SPACE",
  "E_PATH",
  "E_WORKER",
]);

/** Memory that buffers may hold between tasks; decoding needs its own, and they must leave it room. */
function idleBytes({ steps, threads }: Plan): number {
  const budget = memoryBudget(steps, threads);
  return steps.some(({ source }) => source.encoding !== undefined) ? budget / 8 : budget;
}

async function readWhole(model: OpenedModel, name: string): Promise<Uint8Array> {
  const source = await model.files.open(name);
  return await source.read(0, source.size);
}

/** The folder or file that is read. */
export function inputPath({ location: { folder, file } }: OpenedModel): string {
  return file === undefined ? folder : `${folder}/${file}`;
}

function sourceName(model: OpenedModel, output: string): string {
  const { cached } = model.location;
  return cached ?? relative(output, inputPath(model)).replaceAll("\\", "/");
}
