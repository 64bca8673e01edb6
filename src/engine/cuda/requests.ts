/**
 * What the GPU process can be asked, and what it answers: plain data that crosses between
 * processes. Times are microseconds, sizes bytes.
 */
import type { ErrorRecord } from "../../core/errors.ts";

/** How a product is cut up; the fields of `spinfer_geometry` (kernels/include/spinfer.h). */
export interface Geometry {
  readonly tokens: number;
  readonly warps: number;
  readonly stages: number;
  readonly blocksPerSm: number;
  readonly cluster: number;
  readonly roundRobin: number;
  readonly copies: number;
}

export interface GpuFacts {
  readonly name: string;
  readonly uuid: string;
  readonly driver: string;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  readonly l2Bytes: number;
  /** Compute capability: "9.0". */
  readonly capability: string;
  readonly sms: number;
  readonly smClockMhz: number;
  readonly smClockMaxMhz: number;
  readonly memoryClockMhz: number;
  readonly powerLimitW: number;
  readonly temperatureC: number;
  /** CUDA version that the library was built with, and the newest that the driver supports. */
  readonly cuda: string;
  readonly driverCuda: string;
}

export const MASKS = ["random", "wanda", "columns", "2:4", "strips"] as const;
export type MaskKind = (typeof MASKS)[number];

export type HalfName = "F16" | "BF16";

/** Weights that the GPU draws itself. */
export interface Synthetic {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfName;
  readonly mask: MaskKind;
  readonly sparsity: number;
  readonly seed: number;
}

/** Bytes that are sent along, or that the process reads itself. */
export type Bytes =
  | Uint8Array
  | { readonly path: string; readonly begin: number; readonly end: number };

/** A packed matrix: its weight_meta and its payload. */
export interface Packed {
  readonly meta: Bytes;
  readonly payload: Bytes;
}

export interface WeightFacts {
  readonly rows: number;
  readonly cols: number;
  readonly nonzeros: number;
  readonly payloadBytes: number;
  readonly offsetsBytes: number;
  readonly denseBytes: number;
  readonly maxChunkBytes: number;
}

/** In the order of their numbers in kernels/include/spinfer_measure.h. */
export const MEASURED = [
  "sparse",
  "dense-lt",
  "dense-gemm",
  "dense-gemv",
  "2:4",
  "stream-limit",
  "decode",
  "encode",
] as const;
export type Measured = (typeof MEASURED)[number];

export interface MeasureRequest {
  readonly what: Measured;
  readonly tokens: number;
  /** Absent: the built-in choice. */
  readonly geometry?: Geometry;
  /** With programmatic dependent launch. */
  readonly overlap?: boolean;
  /** 0 or absent: no energy. */
  readonly energySeconds?: number;
}

export interface Measurement {
  readonly medianUs: number;
  readonly meanUs: number;
  readonly deviationUs: number;
  readonly samplesUs: readonly number[];
  /** Of a call; 0 where it was not measured. */
  readonly joules: number;
  readonly energyUs: number;
  /** |y − float64 product| over its bound: right up to 1. */
  readonly largestError: number;
  readonly calls: number;
  readonly candidates: number;
  readonly rejected: number;
  readonly smClockMhz: number;
  readonly geometry: Geometry;
}

export interface MultiplyRequest {
  /** [tokens, cols], 16-bit values. */
  readonly x: Uint16Array;
  readonly tokens: number;
  readonly geometry?: Geometry;
  readonly overlap?: boolean;
}

/** Each request with its argument and its answer. */
export interface Requests {
  describe: { readonly ask: null; readonly answer: GpuFacts };
  geometries: { readonly ask: null; readonly answer: readonly Geometry[] };
  draw: { readonly ask: Synthetic; readonly answer: WeightFacts };
  load: { readonly ask: Packed; readonly answer: WeightFacts };
  /** [tokens, rows]. */
  multiply: { readonly ask: MultiplyRequest; readonly answer: Uint16Array };
  /** [rows, cols], with the zeros. */
  decode: { readonly ask: null; readonly answer: Uint16Array };
  measure: { readonly ask: MeasureRequest; readonly answer: Measurement };
}
export type RequestKind = keyof Requests;

export interface Asked {
  readonly id: number;
  readonly kind: string;
  readonly ask: unknown;
}

/** Status codes of kernels/include/spinfer.h. */
export const STATUS = {
  ok: 0,
  badArgument: 1,
  badMatrix: 2,
  unsupported: 3,
  cuda: 4,
  memory: 5,
  wrong: 6,
  missing: 7,
  noGpu: 8,
} as const;

export type Answered =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly failure: { readonly status: number; readonly message: string } }
  | { readonly id: number; readonly error: ErrorRecord }
  /** The library could not be loaded at all; the process ends after it. */
  | { readonly id: number; readonly library: { readonly message: string; readonly path: string } };
