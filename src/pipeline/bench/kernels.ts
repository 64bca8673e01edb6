/**
 * The kernel benchmark: sparse products against the best dense one of the same shape, in one
 * process, with a cold cache; see kernels/README.md for the method.
 */
import { SpInferError, toSpInferError } from "../../core/errors.ts";
import {
  type GpuFacts,
  GpuProcess,
  type Measured,
  type Measurement,
  type WeightFacts,
} from "../../engine/cuda/index.ts";
import { type OnEvent, Progress } from "../events.ts";
import type { BenchCase } from "./cases.ts";

export interface KernelBenchOptions {
  readonly tokens: readonly number[];
  /** Seconds of repetition for the energy of a call; 0: no energy. */
  readonly energySeconds: number;
  /** Also 2:4 through cuSPARSELt. */
  readonly twoFour: boolean;
  readonly streamLimit: boolean;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly gpu?: GpuProcess | undefined;
}

/** The dense products of a shape and number of tokens; their time does not depend on the zeros. */
export interface DenseTimes {
  readonly lt: Measurement | undefined;
  readonly gemm: Measurement | undefined;
  readonly gemv: Measurement | undefined;
  /** Name of the fastest, and its measurement. */
  readonly best: {
    readonly name: "cublasLt" | "cublasGemmEx" | "gemv";
    readonly time: Measurement;
  };
}

export interface KernelRow {
  readonly matrix: BenchCase;
  readonly tokens: number;
  readonly weights: WeightFacts;
  /** Exact share of zeros. */
  readonly sparsity: number;
  readonly dense: DenseTimes;
  readonly sparse: Measurement;
  /** With dependent launch, in a chain of itself: dense libraries have no such thing. */
  readonly overlapped: Measurement;
  readonly stream: Measurement | undefined;
  readonly twoFour: Measurement | undefined;
}

export interface KernelBenchReport {
  readonly gpu: GpuFacts;
  readonly started: string;
  readonly rows: readonly KernelRow[];
  /** What could not be measured, as sentences. */
  readonly notes: readonly string[];
}

/** Throws E_GPU_… when there is no GPU, no library or no cuBLAS, and when a product is wrong. */
export async function benchKernels(
  cases: readonly BenchCase[],
  options: KernelBenchOptions,
): Promise<KernelBenchReport> {
  const own = options.gpu === undefined;
  const process = options.gpu ?? new GpuProcess({ signal: options.signal });
  try {
    return await new Bench(process, options).run(cases);
  } finally {
    if (own) await process.close();
  }
}

class Bench {
  private readonly process: GpuProcess;
  private readonly options: KernelBenchOptions;
  private readonly notes = new Set<string>();
  private energyMissing = false;
  private readonly dense = new Map<string, DenseTimes>();
  private readonly twoFour = new Map<string, Measurement | undefined>();

  constructor(process: GpuProcess, options: KernelBenchOptions) {
    this.process = process;
    this.options = options;
  }

  async run(cases: readonly BenchCase[]): Promise<KernelBenchReport> {
    const started = new Date().toISOString();
    const { tokens, onEvent } = this.options;
    const gpu = await this.process.ask("describe", null);
    const progress = new Progress(
      onEvent ?? (() => undefined),
      "bench",
      cases.length * tokens.length,
      0,
    );
    const rows: KernelRow[] = [];
    for (const matrix of cases) {
      const weights = await this.makeWeights(matrix);
      const stream = this.options.streamLimit
        ? await this.optional("stream-limit", tokens[0]!, "the stream limit")
        : undefined;
      for (const n of tokens) {
        rows.push(await this.measureCell(matrix, weights, n, stream));
        progress.item(`${matrix.label}, ${n} tokens`, 0);
      }
    }
    progress.end();
    return { gpu, started, rows, notes: [...this.notes] };
  }

  private async makeWeights({ rows, cols, dtype, source }: BenchCase): Promise<WeightFacts> {
    if (source.kind === "packed") return await this.process.ask("load", source.packed);
    const { mask, sparsity } = source;
    return await this.process.ask("draw", { rows, cols, dtype, mask, sparsity, seed: 77 });
  }

  private async measureCell(
    matrix: BenchCase,
    weights: WeightFacts,
    tokens: number,
    stream: Measurement | undefined,
  ): Promise<KernelRow> {
    const { energySeconds } = this.options;
    const dense = await this.denseTimes(weights, matrix, tokens);
    const sparse = await this.measure("sparse", tokens, energySeconds);
    const overlapped = await this.process.ask("measure", {
      what: "sparse",
      tokens,
      overlap: true,
    });
    return {
      matrix,
      tokens,
      weights,
      sparsity: 1 - weights.nonzeros / (weights.rows * weights.cols),
      dense,
      sparse,
      overlapped,
      stream,
      twoFour: await this.twoFourTime(weights, matrix, tokens),
    };
  }

  private async denseTimes(
    { rows, cols }: WeightFacts,
    { dtype }: BenchCase,
    tokens: number,
  ): Promise<DenseTimes> {
    const key = `${rows}x${cols}x${tokens} ${dtype}`;
    const known = this.dense.get(key);
    if (known !== undefined) return known;
    const { energySeconds } = this.options;
    const lt = await this.optional("dense-lt", tokens, "cuBLASLt", energySeconds);
    const gemm = await this.optional("dense-gemm", tokens, "cublasGemmEx", energySeconds);
    const gemv =
      tokens === 1
        ? await this.optional("dense-gemv", 1, "the dense GEMV", energySeconds)
        : undefined;
    const candidates = [
      { name: "cublasLt", time: lt },
      { name: "cublasGemmEx", time: gemm },
      { name: "gemv", time: gemv },
    ] as const;
    const [best] = candidates
      .flatMap(({ name, time }) => (time === undefined ? [] : [{ name, time }]))
      .sort((a, b) => a.time.medianUs - b.time.medianUs);
    if (best === undefined || (lt === undefined && gemm === undefined)) {
      throw new SpInferError("E_GPU_BASELINE", `no dense product to compare with: ${this.said()}`, {
        hint: "SPINFER_CUDA_LIBRARIES may name the folder of libcublas.so.13",
      });
    }
    const times: DenseTimes = { lt, gemm, gemv, best };
    this.dense.set(key, times);
    return times;
  }

  private async twoFourTime(
    { rows, cols }: WeightFacts,
    { dtype }: BenchCase,
    tokens: number,
  ): Promise<Measurement | undefined> {
    if (!this.options.twoFour) return undefined;
    const key = `${rows}x${cols}x${tokens} ${dtype}`;
    if (!this.twoFour.has(key)) {
      this.twoFour.set(key, await this.optional("2:4", tokens, "2:4 through cuSPARSELt"));
    }
    return this.twoFour.get(key);
  }

  /** Without the energy, with a note, where nothing counts it. */
  private async measure(
    what: Measured,
    tokens: number,
    energySeconds: number,
  ): Promise<Measurement> {
    if (energySeconds > 0 && !this.energyMissing) {
      try {
        return await this.process.ask("measure", { what, tokens, energySeconds });
      } catch (thrown) {
        const error = toSpInferError(thrown);
        if (!/NVML|energy counter/.test(error.message)) throw error;
        this.energyMissing = true;
        this.notes.add(`energy was not measured: ${error.message}`);
      }
    }
    return await this.process.ask("measure", { what, tokens });
  }

  /** Undefined, with a note, where the machine or the shape does not allow it. */
  private async optional(
    what: Measured,
    tokens: number,
    title: string,
    energySeconds = 0,
  ): Promise<Measurement | undefined> {
    try {
      return await this.measure(what, tokens, energySeconds);
    } catch (thrown) {
      const error = toSpInferError(thrown);
      if (error.code !== "E_GPU_BASELINE" && error.code !== "E_GPU_UNSUPPORTED") throw error;
      this.notes.add(`${title} was not measured: ${error.message}`);
      return undefined;
    }
  }

  private said(): string {
    return [...this.notes].join("; ");
  }
}

/** Dense over sparse time: above 1 the sparse product is faster. */
export function speedup(row: KernelRow, time: Measurement): number {
  return row.dense.best.time.medianUs / time.medianUs;
}

/** Bytes that a sparse product reads of its weights. */
export function sparseBytes({ payloadBytes, offsetsBytes }: WeightFacts): number {
  return payloadBytes + offsetsBytes;
}

export interface MeanRow {
  readonly tokens: number;
  /** As asked for: 0.5, …; packed matrices by their own, in steps of 0.05. */
  readonly sparsity: number;
  readonly mask: string;
  readonly cells: number;
  readonly ratio: number;
  readonly overlapRatio: number;
  readonly streamRatio: number | undefined;
}

/** Geometric means over the matrices of the same sparsity, mask and tokens. */
export function geometricMeans(rows: readonly KernelRow[]): MeanRow[] {
  const groups = new Map<string, KernelRow[]>();
  for (const row of rows) {
    const key = `${row.tokens} ${bucketOf(row)} ${maskOf(row)}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()]
    .map((group): MeanRow => {
      const mean = (values: readonly number[]): number =>
        Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
      const limits = group.flatMap((row) =>
        row.stream === undefined ? [] : [speedup(row, row.stream)],
      );
      return {
        tokens: group[0]!.tokens,
        sparsity: bucketOf(group[0]!),
        mask: maskOf(group[0]!),
        cells: group.length,
        ratio: mean(group.map((row) => speedup(row, row.sparse))),
        overlapRatio: mean(group.map((row) => speedup(row, row.overlapped))),
        streamRatio: limits.length === group.length ? mean(limits) : undefined,
      };
    })
    .sort((a, b) => a.tokens - b.tokens || a.sparsity - b.sparsity);
}

/** How the zeros were drawn; "checkpoint" for a packed matrix's own. */
export function maskOf({ matrix: { source } }: KernelRow): string {
  return source.kind === "drawn" ? source.mask : "checkpoint";
}

function bucketOf({ matrix: { source } }: KernelRow): number {
  return source.kind === "drawn" ? source.sparsity : Math.round(source.sparsity * 20) / 20;
}
