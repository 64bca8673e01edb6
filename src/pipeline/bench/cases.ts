/** What the kernel benchmark measures: matrices of given shapes, of a model's, or the decode set. */

import { SpInferError } from "../../core/errors.ts";
import type { HalfName, MaskKind, Packed } from "../../engine/cuda/index.ts";
import { linearShapes } from "../../model/index.ts";
import { readModelConfig } from "../modelConfig.ts";
import { type ModelMatrix, modelMatrices } from "./modelMatrices.ts";

/** Decode shapes of common models, outputs × inputs (design: Llama 2 and 3, OPT-30B). */
export const DECODE_SHAPES: readonly (readonly [rows: number, cols: number])[] = [
  [4096, 4096],
  [11008, 4096],
  [14336, 4096],
  [4096, 11008],
  [4096, 14336],
  [5120, 5120],
  [13824, 5120],
  [8192, 8192],
  [28672, 8192],
  [8192, 28672],
  [1024, 4096],
  [7168, 7168],
  [28672, 7168],
  [7168, 28672],
];

export type WeightSource =
  | { readonly kind: "drawn"; readonly mask: MaskKind; readonly sparsity: number }
  | { readonly kind: "packed"; readonly packed: Packed; readonly sparsity: number };

export interface BenchCase {
  /** What the matrix is, for people: a shape, or the layer's name. */
  readonly label: string;
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfName;
  readonly source: WeightSource;
}

export interface CaseRequest {
  /** "4096x11008": outputs × inputs. */
  readonly shapes?: readonly string[] | undefined;
  /** A config.json, or a folder with one. */
  readonly config?: string | undefined;
  /** A model; its packed matrices with their own masks, others by their shape. */
  readonly model?: string | undefined;
  readonly masks: readonly MaskKind[];
  readonly sparsities: readonly number[];
  readonly dtype: HalfName;
}

const LARGEST_SIDE = 1 << 24;

/** Throws E_OPTION for a shape that is none, and what opening the model throws. */
export async function benchCases(request: CaseRequest): Promise<BenchCase[]> {
  const drawn = (label: string, rows: number, cols: number, dtype: HalfName): BenchCase[] =>
    request.masks.flatMap((mask) =>
      (mask === "2:4" ? [0.5] : request.sparsities).map((sparsity) => ({
        label,
        rows,
        cols,
        dtype,
        source: { kind: "drawn" as const, mask, sparsity },
      })),
    );
  if (request.model !== undefined) {
    const matrices = await modelMatrices(request.model);
    return matrices.flatMap((matrix) => casesOf(matrix, drawn));
  }
  if (request.config !== undefined) {
    const config = await readModelConfig(request.config);
    return linearShapes(config, request.config).flatMap(({ name, rows, cols }) =>
      drawn(name, rows, cols, request.dtype),
    );
  }
  const shapes = request.shapes?.map(parseShape) ?? DECODE_SHAPES;
  return shapes.flatMap(([rows, cols]) => drawn(`${rows}×${cols}`, rows, cols, request.dtype));
}

function casesOf(
  { label, rows, cols, dtype, packed, sparsity }: ModelMatrix,
  drawn: (label: string, rows: number, cols: number, dtype: HalfName) => BenchCase[],
): BenchCase[] {
  if (packed === undefined) return drawn(label, rows, cols, dtype);
  return [{ label, rows, cols, dtype, source: { kind: "packed", packed, sparsity: sparsity! } }];
}

function parseShape(text: string): readonly [number, number] {
  const match = /^(\d{1,8})[x×](\d{1,8})$/i.exec(text.trim());
  const [rows, cols] = [Number(match?.[1]), Number(match?.[2])];
  const isRight = (side: number): boolean => side >= 1 && side <= LARGEST_SIDE;
  if (isRight(rows) && isRight(cols)) return [rows, cols];
  throw new SpInferError("E_OPTION", `--shapes: ${JSON.stringify(text)} is no shape`, {
    expected: `outputs × inputs such as 4096x11008, each from 1 to ${LARGEST_SIDE}`,
  });
}
