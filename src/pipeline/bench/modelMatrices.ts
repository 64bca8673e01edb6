/** The distinct linear layers of a model: one of each kind and shape stands for its like. */
import { isHalfDtype } from "../../core/dtype.ts";
import { SpInferError } from "../../core/errors.ts";
import type { HalfName, Packed } from "../../engine/cuda/index.ts";
import { describeTensors } from "../../model/index.ts";
import { type OpenedModel, openModel } from "../openModel.ts";

export interface ModelMatrix {
  /** The name with * for the block's number, and which block was taken. */
  readonly label: string;
  /** Name of the tensor that was taken. */
  readonly tensor: string;
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfName;
  /** Layers of this kind and shape. */
  readonly count: number;
  /** Where its bytes lie, when it is packed. */
  readonly packed?: Packed;
  /** Share of zeros of the matrix that was taken, when it is packed. */
  readonly sparsity?: number;
}

const BLOCK = /\.\d+\./;

/** In the order of the model. Throws E_NO_TARGET when there is no linear layer. */
export async function modelMatrices(model: string): Promise<ModelMatrix[]> {
  const opened = await openModel(model);
  const { entries, config } = opened.archive;
  const roles = describeTensors(entries, config);
  const kinds = new Map<string, { readonly index: number; readonly block: number }[]>();
  entries.forEach((entry, index) => {
    const role = roles[index]!;
    if (role.role !== "linear" || entry.shape.length !== 2) return;
    const kind = `${entry.name.replace(BLOCK, ".*.")} ${entry.shape.join("x")} ${entry.stored}`;
    const list = kinds.get(kind) ?? [];
    list.push({ index, block: role.block ?? 0 });
    kinds.set(kind, list);
  });
  if (kinds.size === 0) {
    throw new SpInferError("E_NO_TARGET", `${model}: it has no linear layers to multiply with`, {
      path: model,
    });
  }
  return [...kinds.values()].map((list) => {
    const sorted = [...list].sort((a, b) => a.block - b.block);
    const taken = sorted[Math.floor(sorted.length / 2)]!; // a block from the middle
    return matrixOf(opened, taken.index, roles[taken.index]!.orientation, list.length);
  });
}

function matrixOf(
  { archive, pathOf }: OpenedModel,
  index: number,
  orientation: string,
  count: number,
): ModelMatrix {
  const entry = archive.entries[index]!;
  const [first, second] = entry.shape as readonly [number, number];
  const [rows, cols] = orientation === "in-out" ? [second, first] : [first, second];
  const dtype = isHalfDtype(entry.dtype) ? entry.dtype : "F16";
  const label = `${entry.name.replace(BLOCK, ".*.")} (${entry.name})`;
  const matrix = { label, tensor: entry.name, rows, cols, dtype, count };
  if (entry.stored !== "tile-bitmap") return matrix;
  const [payload, meta] = entry.extents.map(({ file, begin, end }) => ({
    path: pathOf(file),
    begin,
    end,
  }));
  const nonzeros = Number(entry.encoding?.["nonzeros"] ?? 0);
  return {
    ...matrix,
    packed: { meta: meta!, payload: payload! },
    sparsity: 1 - nonzeros / (rows * cols),
  };
}
