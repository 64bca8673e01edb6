/**
 * Verifies a checkpoint of ours. Three levels, each with all of the one before:
 *
 *   structure   headers, index, every offset, bitmap, padding and stored value of packed weights
 *   hash        CRC-32s, and the SHA-256 of every file and tensor as the manifest has them
 *   full        every tensor again from its source and the recipe, compared bit for bit
 *
 * What is found is a report, not an exception, so that one damaged tensor does not hide another.
 */
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { storedBytes, type TensorEntry } from "../core/archive.ts";
import { type ErrorRecord, SpInferError, toSpInferError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { closeFiles, fileSize, fileSource } from "../io/openFile.ts";
import { openStatistics } from "./calibration/statisticsFile.ts";
import { type OnEvent, Progress } from "./events.ts";
import {
  CARD_FILE,
  type FileRecord,
  MANIFEST_FILE,
  type Manifest,
  readManifest,
} from "./manifest.ts";
import { type OpenedModel, type OpenModelOptions, openModel } from "./openModel.ts";
import { footprint, memoryBudget } from "./plan/memory.ts";
import { weightPacker } from "./plan/packedSize.ts";
import { makePlan } from "./plan/plan.ts";
import type { TensorStep } from "./plan/steps.ts";
import { readRecipe } from "./recipe/index.ts";
import { runSurveys, type StatsPlaces } from "./survey.ts";
import {
  fileMissing,
  hashDiffers,
  leadsOutside,
  recordDiffers,
  sizeDiffers,
  sourceDiffers,
  statisticsDiffer,
  statisticsMissing,
  tensorDiffers,
  valuesDiffer,
} from "./verifyFindings.ts";
import type { StatsPlace } from "./work/activationStats.ts";
import { runOrdered } from "./work/ordered.ts";
import { createPool, type Pool } from "./work/pool.ts";
import type { FilePart, Paths } from "./work/tasks.ts";

export const VERIFY_LEVELS = ["structure", "hash", "full"] as const;
export type VerifyLevel = (typeof VERIFY_LEVELS)[number];

export interface VerifyOptions extends OpenModelOptions {
  readonly level: VerifyLevel;
  /** The dense model it was made from; absent: where the manifest says it is. */
  readonly against?: string | undefined;
  /** The statistics that it was pruned by; absent: those in the checkpoint. */
  readonly statistics?: string | undefined;
  /** Stop at the first finding. */
  readonly failFast?: boolean | undefined;
  readonly threads?: number | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Check {
  readonly name: string;
  readonly status: "passed" | "failed" | "skipped";
  /** Tensors or files looked at. */
  readonly items: number;
  readonly detail?: string;
}

export interface VerifyReport {
  readonly checkpoint: string;
  readonly level: VerifyLevel;
  readonly ok: boolean;
  readonly checks: readonly Check[];
  readonly findings: readonly ErrorRecord[];
  readonly bytes: number;
  readonly elapsedMs: number;
}

/** Throws only when it cannot work at all: no such folder, no source for `full`, cancelled. */
export async function verifyCheckpoint(
  path: string,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const begun = performance.now();
  const pool = createPool(options.threads ?? availableParallelism(), { signal: options.signal });
  const verification = new Verification(path, options, pool);
  try {
    await verification.run();
  } catch (thrown) {
    if (thrown !== STOP) throw thrown;
  } finally {
    await pool.close();
    closeFiles();
  }
  const { checks, findings, bytes } = verification;
  return {
    checkpoint: path,
    level: options.level,
    ok: findings.length === 0,
    checks,
    findings,
    bytes,
    elapsedMs: performance.now() - begun,
  };
}

/** Thrown to end the work at the first finding. */
const STOP: unique symbol = Symbol("stop");

/** Bytes that are looked at together. */
const LOOK_BYTES = 512 * 1024 * 1024;

/** Not about the checkpoint. */
const FATAL: ReadonlySet<string> = new Set(["E_CANCELLED", "E_INTERNAL", "E_WORKER", "E_MEMORY"]);

/** What a tensor is compared with. */
interface Comparing {
  readonly paths: Paths;
  readonly storedPaths: Paths;
  readonly decision: unknown;
  readonly stats: StatsPlace | undefined;
}

class Verification {
  readonly checks: Check[] = [];
  readonly findings: ErrorRecord[] = [];
  bytes = 0;
  private readonly path: string;
  private readonly options: VerifyOptions;
  private readonly pool: Pool;
  private readonly onEvent: OnEvent;

  constructor(path: string, options: VerifyOptions, pool: Pool) {
    this.path = path;
    this.options = options;
    this.pool = pool;
    this.onEvent = options.onEvent ?? (() => undefined);
  }

  async run(): Promise<void> {
    const { level } = this.options;
    const manifest = level === "structure" ? undefined : await this.checkManifest();
    const opened = await this.checkHeaders();
    if (opened !== undefined) await this.checkTensors(opened);
    if (manifest === undefined) return;
    const damaged = await this.checkFiles(manifest);
    if (opened !== undefined) await this.checkTensorRecords(manifest, opened, damaged);
    if (level !== "full") return;
    if (opened === undefined || this.findings.length > 0) {
      this.checks.push({
        name: "source",
        status: "skipped",
        items: 0,
        detail: "the checkpoint is damaged",
      });
      return;
    }
    await this.checkAgainstSource(manifest, opened);
  }

  /** Writes a finding down. True when it is to be the last. What is no finding is thrown on. */
  private note(thrown: unknown): boolean {
    const error = toSpInferError(thrown);
    if (FATAL.has(error.code)) throw error;
    this.findings.push(error.toRecord());
    return this.options.failFast === true;
  }

  private find(thrown: unknown): void {
    if (thrown === STOP || this.note(thrown)) throw STOP;
  }

  /** Runs a check and writes down how it went. `work` returns how much it looked at. */
  private async check<Result>(
    name: string,
    work: () => Promise<{ items: number; result: Result }>,
  ): Promise<Result | undefined> {
    const before = this.findings.length;
    let done: { items: number; result?: Result } = { items: 0 };
    let stop = false;
    try {
      done = await work();
    } catch (thrown) {
      stop = thrown === STOP || this.note(thrown);
    }
    const failed = this.findings.length - before;
    this.checks.push({
      name,
      status: failed === 0 ? "passed" : "failed",
      items: done.items,
      ...(failed === 0 ? {} : { detail: failed === 1 ? "1 finding" : `${failed} findings` }),
    });
    if (stop) throw STOP;
    return done.result;
  }

  private async checkManifest(): Promise<Manifest | undefined> {
    return await this.check("manifest", async () => {
      const path = join(this.path, MANIFEST_FILE);
      if (!existsSync(path)) {
        throw new SpInferError("E_NO_MANIFEST", `${this.path}: there is no ${MANIFEST_FILE}`, {
          path: this.path,
          hint: "verify its structure only, with --level structure",
        });
      }
      const source = fileSource(path);
      return { items: 1, result: readManifest(await source.read(0, source.size), path) };
    });
  }

  private async checkHeaders(): Promise<OpenedModel | undefined> {
    return await this.check("headers", async () => {
      const opened = await openModel(this.path, this.options);
      return { items: opened.archive.tensorFiles.length, result: opened };
    });
  }

  /** Decodes every packed tensor, which checks all of it. */
  private async checkTensors(opened: OpenedModel): Promise<void> {
    const packed = opened.archive.entries.filter(({ encoding }) => encoding !== undefined);
    if (packed.length === 0) return;
    await this.check("packed weights", async () => {
      const paths = pathsOf(opened);
      const progress = this.progress(packed);
      await this.ordered(packed, storedBytes, async (entry) => {
        await this.pool
          .run({ kind: "check", entry, paths })
          .catch((thrown) => this.find(locate(thrown, entry, paths)));
        progress.item(entry.name, storedBytes(entry));
      });
      progress.end();
      return { items: packed.length, result: undefined };
    });
  }

  /** Returns the files that are not what the manifest says. */
  private async checkFiles({ files }: Manifest): Promise<ReadonlySet<string>> {
    const damaged = new Set<string>();
    await this.check("files", async () => {
      const listed = new Set(files.map(({ path }) => path));
      for (const name of readdirSync(this.path)) {
        if (name === MANIFEST_FILE || name === CARD_FILE || listed.has(name)) continue;
        const message = `${name} is not in the manifest`;
        this.onEvent({ type: "warning", code: "W_EXTRA_FILE", message });
      }
      await this.ordered(
        files,
        () => 0,
        async (record) => {
          try {
            await this.checkFile(record);
          } catch (thrown) {
            damaged.add(record.path);
            this.find(thrown);
          }
        },
      );
      return { items: files.length, result: undefined };
    });
    return damaged;
  }

  private async checkFile({ path: name, bytes, sha256 }: FileRecord): Promise<void> {
    if (/[\\/]/.test(name) || name === "..") throw leadsOutside(this.path, name);
    const path = join(this.path, name);
    if (!existsSync(path)) throw fileMissing(path);
    const size = fileSize(path);
    if (size !== bytes) throw sizeDiffers(path, bytes, size);
    const hashed = await this.pool.run({ kind: "hash", parts: [{ path, begin: 0, end: size }] });
    this.bytes += size;
    if (hashed.sha256 !== sha256) throw hashDiffers(path, sha256, hashed.sha256);
  }

  /**
   * Tells which tensors differ, where a file's hash only tells that something does. Tensors of a
   * file that matched need no hash of their own.
   */
  private async checkTensorRecords(
    { tensors }: Manifest,
    { archive, pathOf }: OpenedModel,
    damaged: ReadonlySet<string>,
  ): Promise<void> {
    const { entries } = archive;
    await this.check("tensors", async () => {
      const names = new Set(entries.map(({ name }) => name));
      for (const name of Object.keys(tensors)) {
        if (names.has(name)) continue;
        this.find(recordDiffers(this.path, name, "it is not in the checkpoint"));
      }
      await this.ordered(entries, storedBytes, async (entry) => {
        try {
          const record = tensors[entry.name];
          if (record === undefined) {
            throw recordDiffers(this.path, entry.name, "it is not in the manifest");
          }
          this.compareForm(entry, record);
          if (!entry.extents.some(({ file }) => damaged.has(file))) return;
          const { sha256 } = await this.pool.run({ kind: "hash", parts: partsOf(entry, pathOf) });
          if (sha256 !== record.sha256) throw tensorDiffers(entry, pathOf(entry.extents[0]!.file));
        } catch (thrown) {
          this.find(thrown);
        }
      });
      return { items: entries.length, result: undefined };
    });
  }

  private compareForm(
    { name, dtype, shape }: TensorEntry,
    expected: { readonly dtype: string; readonly shape: readonly number[] },
  ): void {
    if (expected.dtype === dtype && expected.shape.join() === shape.join()) return;
    throw recordDiffers(this.path, name, `it is ${dtype} [${shape.join(", ")}]`);
  }

  private async checkAgainstSource(manifest: Manifest, opened: OpenedModel): Promise<void> {
    const source = await this.openSource(manifest);
    if (!(await this.checkSource(manifest, source))) return;
    await this.check("recomputed weights", async () => ({
      items: opened.archive.entries.length,
      result: await this.recompute(manifest, opened, source),
    }));
  }

  /**
   * Whether it makes sense to compare with this source. One that was named and has other files
   * than the recorded one (an equal model in another format) is compared by its values alone.
   */
  private async checkSource(
    { source: { files } }: Manifest,
    source: OpenedModel,
  ): Promise<boolean> {
    const recorded = files.map(({ path }) => path).join();
    const present = source.archive.tensorFiles.map(({ name }) => name).join();
    if (this.options.against !== undefined && recorded !== present) {
      const detail = "not the recorded files; compared by value";
      this.checks.push({ name: "source files", status: "skipped", items: 0, detail });
      return true;
    }
    const before = this.findings.length;
    await this.check("source files", async () => {
      for (const record of files) {
        try {
          await this.checkSourceFile(source.pathOf(record.path), record);
        } catch (thrown) {
          this.find(thrown);
        }
      }
      return { items: files.length, result: undefined };
    });
    return this.findings.length === before;
  }

  private async checkSourceFile(path: string, { bytes, sha256 }: FileRecord): Promise<void> {
    const size = fileSize(path);
    if (size !== bytes) throw sourceDiffers(path, `${bytes} bytes`, `${size} bytes`);
    const hashed = await this.pool.run({ kind: "hash", parts: [{ path, begin: 0, end: size }] });
    if (hashed.sha256 !== sha256) {
      throw sourceDiffers(path, `sha256 ${sha256}`, `sha256 ${hashed.sha256}`);
    }
  }

  private async recompute(
    manifest: Manifest,
    opened: OpenedModel,
    source: OpenedModel,
  ): Promise<void> {
    const recipe = readRecipe(manifest.recipe, MANIFEST_FILE);
    const plan = makePlan(source.archive, recipe, {
      threads: this.pool.threads,
      limits: this.options.limits ?? DEFAULT_LIMITS,
    });
    const [paths, storedPaths] = [pathsOf(source), pathsOf(opened)];
    const stats = await this.statistics(manifest);
    const decisions = await runSurveys(plan, paths, this.pool, this.onEvent, stats);
    const stored = new Map(opened.archive.entries.map((entry) => [entry.name, entry]));
    const progress = new Progress(this.onEvent, "verify", plan.steps.length, plan.totals.bytesIn);
    const planned = new Set(plan.steps.map(({ name }) => name));
    for (const name of stored.keys()) {
      if (!planned.has(name))
        this.find(recordDiffers(this.path, name, "the source has no such tensor"));
    }
    await runOrdered({
      items: plan.steps,
      footprint: (step) => 2 * footprint({ ...step, copy: false }),
      budget: memoryBudget(plan.steps, plan.threads),
      width: this.pool.threads + 1,
      start: async (step) => {
        try {
          await this.compareStep(step, stored.get(step.name), {
            paths,
            storedPaths,
            decision: decisions.get(step.name),
            stats: stats.get(step.name),
          });
        } catch (thrown) {
          this.find(thrown);
        }
      },
      finish: async (step) => progress.item(step.name, step.bytesIn),
    });
    progress.end();
  }

  private async compareStep(
    step: TensorStep,
    stored: TensorEntry | undefined,
    { paths, storedPaths, decision, stats }: Comparing,
  ): Promise<void> {
    if (stored === undefined) throw recordDiffers(this.path, step.name, "it is missing");
    this.compareForm(stored, step);
    const options = { strictFinite: false, decision, stats };
    const result = await this.pool.run({
      kind: "compare",
      step,
      paths,
      options,
      stored,
      storedPaths,
    });
    if (result.difference !== undefined)
      throw valuesDiffer(step, this.path, result.differences, result.difference);
  }

  /** Those that the weights were pruned by. Throws E_STATS_MISSING, E_STATS_MISMATCH. */
  private async statistics({ statistics }: Manifest): Promise<StatsPlaces> {
    if (statistics === undefined) return new Map();
    const { file, sha256 } = statistics;
    const path = this.options.statistics ?? (file === null ? undefined : join(this.path, file));
    if (path === undefined || !existsSync(path)) throw statisticsMissing(this.path, path, sha256);
    const opened = await openStatistics(path);
    if (opened.sha256 !== sha256) throw statisticsDiffer(path, sha256, opened.sha256);
    return opened.places;
  }

  private async openSource(manifest: Manifest): Promise<OpenedModel> {
    const recorded = manifest.source.model;
    const beside = resolve(this.path, recorded);
    const place = this.options.against ?? (existsSync(beside) ? beside : recorded);
    const recipe = readRecipe(manifest.recipe, MANIFEST_FILE);
    try {
      return await openModel(place, { ...this.options, dtype: recipe.convert.dtype });
    } catch (thrown) {
      const error = toSpInferError(thrown);
      if (this.options.against !== undefined) throw error;
      throw error.with({
        hint: `say where the source is: --against MODEL (the manifest names ${recorded})`,
      });
    }
  }

  private progress(entries: readonly TensorEntry[]): Progress {
    return new Progress(
      this.onEvent,
      "verify",
      entries.length,
      entries.reduce((sum, entry) => sum + storedBytes(entry), 0),
    );
  }

  /** Looks at all items, several at once; `bytes` are those that a look holds in memory. */
  private async ordered<Item>(
    items: readonly Item[],
    bytes: (item: Item) => number,
    look: (item: Item) => Promise<void>,
  ): Promise<void> {
    await runOrdered({
      items,
      footprint: bytes,
      budget: LOOK_BYTES,
      width: this.pool.threads + 1,
      start: look,
      finish: async () => undefined,
    });
  }
}

function pathsOf(model: OpenedModel): Paths {
  return Object.fromEntries(
    model.archive.tensorFiles.map(({ name }) => [name, model.pathOf(name)]),
  );
}

/** The stored parts of a tensor, as its hash takes them. */
function partsOf(
  { name, dtype, shape, extents, encoding }: TensorEntry,
  pathOf: (file: string) => string,
): FilePart[] {
  return extents.map(({ file, begin, end }, i) => {
    const packed = weightPacker().tensors[i];
    const part =
      encoding === undefined || packed === undefined
        ? { name, dtype, shape }
        : { name: name + packed.suffix, dtype: packed.dtype, shape: [(end - begin) / 8] };
    return { path: pathOf(file), begin, end, part };
  });
}

/** Adds to a decoder's error the file that it cannot know. */
function locate(thrown: unknown, entry: TensorEntry, paths: Paths): SpInferError {
  const { file, begin } = entry.extents[0]!;
  return toSpInferError(thrown, { path: paths[file], tensor: entry.name, offset: begin });
}
