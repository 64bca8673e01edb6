/** Measures every kernel on the shapes of a model and keeps what was fastest. */
import { toSpInferError } from "../../core/errors.ts";
import { VERSION } from "../../core/version.ts";
import {
  type Geometry,
  type GpuFacts,
  GpuProcess,
  type HalfName,
  type Measurement,
} from "../../engine/cuda/index.ts";
import { type ModelMatrix, modelMatrices } from "../bench/modelMatrices.ts";
import { type OnEvent, Progress } from "../events.ts";
import { sparsityBucket, TuneCache, type TuneEntry } from "./cache.ts";
import { type MatrixPlan, planMatrix } from "./planner.ts";

export interface TuneOptions {
  readonly tokens: readonly number[];
  /** Of matrices that are not packed yet. */
  readonly sparsity: number;
  /** Plan from what is known and measure nothing; needs no GPU. */
  readonly planOnly: boolean;
  /** Measure again what the cache has. */
  readonly again: boolean;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly gpu?: GpuProcess | undefined;
}

export interface TunedMatrix {
  readonly matrix: ModelMatrix;
  readonly sparsity: number;
  readonly plan: MatrixPlan;
}

export interface TuneReport {
  /** Absent: planned without one. */
  readonly gpu: GpuFacts | undefined;
  readonly cache: string;
  readonly measured: number;
  readonly matrices: readonly TunedMatrix[];
}

/** Throws E_GPU_… when it shall measure and cannot, E_TUNE_CACHE, and what opening a model throws. */
export async function tuneModel(model: string, options: TuneOptions): Promise<TuneReport> {
  const matrices = await modelMatrices(model);
  const cache = await TuneCache.read(options.env);
  if (options.planOnly) return await planned(matrices, cache, options);
  const own = options.gpu === undefined;
  const process = options.gpu ?? new GpuProcess({ signal: options.signal });
  try {
    const gpu = await process.ask("describe", null);
    const measured = await measureMissing(matrices, { cache, process, gpu, options });
    return { ...report(matrices, cache, gpu, options), measured };
  } finally {
    if (own) await process.close();
  }
}

/** Plans for the GPU that is there, or, without one, from the built-in table alone. */
async function planned(
  matrices: readonly ModelMatrix[],
  cache: TuneCache,
  options: TuneOptions,
): Promise<TuneReport> {
  const gpu = options.gpu === undefined ? await presentGpu() : undefined;
  return { ...report(matrices, cache, gpu, options), measured: 0 };
}

async function presentGpu(): Promise<GpuFacts | undefined> {
  let process: GpuProcess | undefined;
  try {
    process = new GpuProcess();
    return await process.ask("describe", null);
  } catch (thrown) {
    const { code } = toSpInferError(thrown);
    if (code === "E_GPU_NONE" || code === "E_GPU_LIBRARY" || code === "E_GPU_UNSUPPORTED") {
      return undefined;
    }
    throw thrown;
  } finally {
    await process?.close();
  }
}

function report(
  matrices: readonly ModelMatrix[],
  cache: TuneCache,
  gpu: GpuFacts | undefined,
  { tokens, sparsity }: TuneOptions,
): Omit<TuneReport, "measured"> {
  const known = gpu === undefined ? [] : cache.of({ gpu: gpu.name, driver: gpu.driver });
  return {
    gpu,
    cache: cache.path,
    matrices: matrices.map((matrix): TunedMatrix => {
      const zeros = matrix.sparsity ?? sparsity;
      const { rows, cols, dtype } = matrix;
      return {
        matrix,
        sparsity: zeros,
        plan: planMatrix({ rows, cols, dtype, sparsity: zeros }, tokens, known),
      };
    }),
  };
}

interface Tuning {
  readonly cache: TuneCache;
  readonly process: GpuProcess;
  readonly gpu: GpuFacts;
  readonly options: TuneOptions;
}

/** How many cells were measured. */
async function measureMissing(
  matrices: readonly ModelMatrix[],
  { cache, process, gpu, options }: Tuning,
): Promise<number> {
  const wanted = wantedCells(matrices, cache, gpu, options);
  if (wanted.length > 0) await cache.save(); // a folder that cannot be written is noticed before the work
  const geometries = await process.ask("geometries", null);
  const progress = new Progress(
    options.onEvent ?? (() => undefined),
    "bench",
    wanted.reduce((sum, { tokens }) => sum + tokens.length, 0),
    0,
  );
  for (const { rows, cols, dtype, bucket, tokens } of wanted) {
    await process.ask("draw", {
      rows,
      cols,
      dtype,
      mask: "random",
      sparsity: bucket / 100,
      seed: 78,
    });
    for (const n of tokens) {
      cache.put({
        gpu: gpu.name,
        driver: gpu.driver,
        library: VERSION,
        rows,
        cols,
        dtype,
        sparsity: bucket,
        tokens: n,
        ...(await fastest(process, n, candidatesFor(geometries, n))),
        measured: new Date().toISOString(),
      });
      progress.item(`${rows}×${cols} at ${bucket} %, ${n} tokens`, 0);
    }
    await cache.save(); // what is measured stays, whatever happens next
  }
  progress.end();
  return progress.finished;
}

interface WantedCell {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfName;
  readonly bucket: number;
  readonly tokens: readonly number[];
}

/** Shapes that several layers share are measured once. */
function wantedCells(
  matrices: readonly ModelMatrix[],
  cache: TuneCache,
  gpu: GpuFacts,
  { tokens, sparsity, again }: TuneOptions,
): WantedCell[] {
  const known = again ? [] : cache.of({ gpu: gpu.name, driver: gpu.driver });
  const cells = new Map<string, WantedCell>();
  for (const matrix of matrices) {
    const { rows, cols, dtype } = matrix;
    const bucket = sparsityBucket(matrix.sparsity ?? sparsity);
    const missing = tokens.filter(
      (n) =>
        !known.some(
          (entry) =>
            entry.rows === rows &&
            entry.cols === cols &&
            entry.dtype === dtype &&
            entry.sparsity === bucket &&
            entry.tokens === n,
        ),
    );
    if (missing.length === 0) continue;
    cells.set(`${rows}x${cols} ${dtype} ${bucket}`, { rows, cols, dtype, bucket, tokens: missing });
  }
  return [...cells.values()];
}

/** Geometries whose group of tokens suits n, each with both ways to deal out chunks. */
function candidatesFor(geometries: readonly Geometry[], n: number): Geometry[] {
  const suits = (tokens: number): boolean =>
    n <= 8 ? tokens <= 16 : n <= 16 ? tokens === 16 : tokens >= 16;
  return geometries
    .filter(({ tokens }) => suits(tokens))
    .flatMap((geometry) => [
      { ...geometry, roundRobin: 0 },
      { ...geometry, roundRobin: 1 },
    ]);
}

type Fastest = Pick<
  TuneEntry,
  "denseUs" | "sparseUs" | "geometry" | "overlapUs" | "overlapGeometry"
>;

async function fastest(
  process: GpuProcess,
  tokens: number,
  candidates: readonly Geometry[],
): Promise<Fastest> {
  const lt = await process.ask("measure", { what: "dense-lt", tokens });
  const gemm = await process.ask("measure", { what: "dense-gemm", tokens });
  const best = async (overlap: boolean): Promise<Measurement> => {
    let found = await process.ask("measure", { what: "sparse", tokens, overlap });
    for (const geometry of candidates) {
      const measured = await tried(process, tokens, geometry, overlap);
      if (measured !== undefined && measured.medianUs < found.medianUs) found = measured;
    }
    return found;
  };
  const [alone, overlapped] = [await best(false), await best(true)];
  return {
    denseUs: Math.min(lt.medianUs, gemm.medianUs),
    sparseUs: alone.medianUs,
    geometry: alone.geometry,
    overlapUs: overlapped.medianUs,
    overlapGeometry: overlapped.geometry,
  };
}

/** Undefined where the geometry does not fit the GPU or the chunks. */
async function tried(
  process: GpuProcess,
  tokens: number,
  geometry: Geometry,
  overlap: boolean,
): Promise<Measurement | undefined> {
  try {
    return await process.ask("measure", { what: "sparse", tokens, geometry, overlap });
  } catch (thrown) {
    const error = toSpInferError(thrown);
    if (error.code === "E_GPU_UNSUPPORTED") return undefined;
    throw error;
  }
}
