/** Pruned tensors by block and kind. */
import { elementCount } from "../../core/dtype.ts";
import type { LayerCell, LayerMap } from "../../report/index.ts";
import type { Manifest } from "../manifest.ts";
import type { SweepResult } from "../sweep/record.ts";
import { denseSize } from "../tensorSizes.ts";

type Layer = SweepResult["layers"][number];

export function layerMap(title: string, layers: readonly Layer[]): LayerMap {
  const cells = layers.flatMap((layer): LayerCell[] => {
    const [, block, kind] = /(?:^|\.)(\d+)\.(.+?)(?:\.weight)?$/.exec(layer.tensor) ?? [];
    if (block === undefined || kind === undefined || layer.elements === 0) return [];
    const { bytes, dense_bytes: denseBytes, elements, nonzeros } = layer;
    return [{ kind, block: Number(block), sparsity: 1 - nonzeros / elements, bytes, denseBytes }];
  });
  return { title, cells };
}

/** Named after the folder that the manifest is in. */
export function manifestMap({ tensors }: Manifest, path: string): LayerMap {
  const folder = path.split(/[\\/]/).at(-2);
  const layers = Object.entries(tensors)
    .filter(([, { pruned, nnz }]) => pruned !== undefined && nnz !== undefined)
    .map(([tensor, record]) => ({
      tensor,
      elements: elementCount(record.shape) ?? 0,
      nonzeros: record.nnz ?? 0,
      bytes: record.bytes,
      dense_bytes: denseSize(record),
    }));
  return layerMap(folder === undefined || folder === "." ? path : folder, layers);
}
