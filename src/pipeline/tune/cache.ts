/**
 * What was measured on this machine: one JSON file, entries keyed by GPU, driver, library version,
 * shape, dtype, sparsity bucket and number of tokens. Written by `spinfer tune`, read by the planner
 * and, outside this package, by the integrations.
 */
import { join } from "node:path";
import { SpInferError } from "../../core/errors.ts";
import { VERSION } from "../../core/version.ts";
import { type Infer, z } from "../../core/zod.ts";
import {
  cacheFolder,
  makeCacheFolder,
  readCacheFile,
  writeCacheFile,
} from "../../io/cacheFolder.ts";
import { awaitLock } from "../../io/lock.ts";

export const TUNE_FILE = "tune.json";
export const TUNE_SCHEMA = "spinfer.tune/1";
const LARGEST_BYTES = 32 * 1024 * 1024;
/** Another run holds the lock for as long as it takes to write the file. */
const LOCK_WAIT_MS = 10_000;

const geometrySchema = z.strictObject({
  tokens: z.int(),
  warps: z.int(),
  stages: z.int(),
  blocksPerSm: z.int(),
  cluster: z.int(),
  roundRobin: z.int(),
  copies: z.int(),
});

const microseconds = z.number().positive();

const entrySchema = z.strictObject({
  gpu: z.string(),
  driver: z.string(),
  library: z.string(),
  rows: z.int().positive(),
  cols: z.int().positive(),
  dtype: z.enum(["F16", "BF16"]),
  /** Whole per cent, a multiple of SPARSITY_STEP. */
  sparsity: z.int().min(0).max(100),
  tokens: z.int().positive(),
  denseUs: microseconds,
  /** The fastest geometry alone, and in a chain with dependent launch. */
  sparseUs: microseconds,
  geometry: geometrySchema,
  overlapUs: microseconds,
  overlapGeometry: geometrySchema,
  measured: z.string(),
});
export type TuneEntry = Infer<typeof entrySchema>;

const fileSchema = z.strictObject({
  schema: z.literal(TUNE_SCHEMA),
  entries: z.array(entrySchema),
});

/** Sparsities within so many per cent share an entry. */
const SPARSITY_STEP = 5;

/** At most 95: a matrix without weights is nothing to measure. */
export function sparsityBucket(sparsity: number): number {
  const bucket = Math.round((sparsity * 100) / SPARSITY_STEP) * SPARSITY_STEP;
  return Math.min(bucket, 100 - SPARSITY_STEP);
}

export interface TuneKey {
  readonly gpu: string;
  readonly driver: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export class TuneCache {
  readonly path: string;
  private readonly folder: string;
  private entries: Map<string, TuneEntry>;
  /** What was put since the file was read. */
  private readonly unsaved = new Map<string, TuneEntry>();

  private constructor(folder: string, entries: readonly TuneEntry[]) {
    this.folder = folder;
    this.path = join(folder, TUNE_FILE);
    this.entries = byKey(entries);
  }

  /** Empty when there is no file yet. Throws E_TUNE_CACHE when it is damaged, E_IO. */
  static async read(env: Environment = process.env): Promise<TuneCache> {
    const folder = cacheFolder(env);
    return new TuneCache(folder, await readEntries(join(folder, TUNE_FILE)));
  }

  put(entry: TuneEntry): void {
    this.entries.set(keyOf(entry), entry);
    this.unsaved.set(keyOf(entry), entry);
  }

  /** What this version of the library measured on that GPU and driver. */
  of(key: TuneKey): TuneEntry[] {
    return [...this.entries.values()].filter(
      ({ gpu, driver, library }) => gpu === key.gpu && driver === key.driver && library === VERSION,
    );
  }

  /**
   * Adds to the file what was put, sorted; what another run wrote in between stays.
   * Throws E_TUNE_CACHE, E_LOCKED, E_IO.
   */
  async save(): Promise<void> {
    makeCacheFolder(this.folder);
    const lock = await awaitLock(`${this.path}.lock`, LOCK_WAIT_MS);
    try {
      this.entries = new Map([...byKey(await readEntries(this.path)), ...this.unsaved]);
      const sorted = [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1));
      const content = { schema: TUNE_SCHEMA, entries: sorted.map(([, entry]) => entry) };
      await writeCacheFile(this.folder, TUNE_FILE, `${JSON.stringify(content, undefined, 1)}\n`);
    } finally {
      lock.release();
    }
    this.unsaved.clear();
  }
}

async function readEntries(path: string): Promise<TuneEntry[]> {
  const bytes = await readCacheFile(path, LARGEST_BYTES + 1);
  if (bytes === undefined) return [];
  try {
    if (bytes.length > LARGEST_BYTES) throw new RangeError(`over ${LARGEST_BYTES} bytes`);
    return fileSchema.parse(JSON.parse(new TextDecoder().decode(bytes))).entries;
  } catch (cause) {
    throw new SpInferError("E_TUNE_CACHE", `${path}: it is not what spinfer tune writes`, {
      path,
      cause,
      hint: "delete it and run spinfer tune again",
    });
  }
}

function byKey(entries: readonly TuneEntry[]): Map<string, TuneEntry> {
  return new Map(entries.map((entry) => [keyOf(entry), entry]));
}

function keyOf(entry: Omit<TuneEntry, "denseUs">): string {
  const { gpu, driver, library, rows, cols, dtype, sparsity, tokens } = entry;
  return JSON.stringify([gpu, driver, library, rows, cols, dtype, sparsity, tokens]);
}
