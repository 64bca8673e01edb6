/** How a weight lives in a tile-bitmap checkpoint: its payload under its own name, and weight_meta. */
import type { PackedWeight, WeightPacker } from "../defineFormat.ts";
import { plainKernels, type StripKernels } from "./chunks.ts";
import {
  ALIGN,
  CHUNK_COLS,
  CHUNK_ROWS,
  gridOf,
  metaBytes,
  payloadBound,
  VERSION_MAJOR,
  VERSION_MINOR,
} from "./layout.ts";
import { packMatrix } from "./matrix.ts";
import { createWasmKernels } from "./wasmKernels.ts";

/** Put behind the name of a weight for the tensor with its header and offsets. */
export const META_SUFFIX = "_meta";

let active: StripKernels = plainKernels;

/** The kernels in use in this thread. */
export function kernels(): StripKernels {
  return active;
}

/** Uses wasm/tileBitmap.wasm in this thread from now on. */
export function useWasmKernels(module: Uint8Array): void {
  active = createWasmKernels(module);
}

/** Values whose bits are not all zero. */
export function countNonzeros(bits: Uint16Array): number {
  return active.countNonzeros(bits);
}

export const packer: WeightPacker = {
  tensors: [
    { suffix: "", dtype: "I64" },
    { suffix: META_SUFFIX, dtype: "I64" },
  ],

  size(rows, cols, nonzeros) {
    const grid = gridOf(rows, cols);
    const most = payloadBound(grid, nonzeros) + metaBytes(grid);
    // padding is even between 0 and 14 bytes
    const padding = (grid.chunks * (ALIGN - 2)) / 2;
    return { most, expected: most - Math.floor(padding) };
  },

  pack(matrix, transposed, inPlace = false): PackedWeight {
    const packed = packMatrix(matrix, transposed, active, inPlace);
    const { payload, meta, nonzeros, maxChunkNonzeros } = packed;
    return {
      tensors: [
        { suffix: "", dtype: "I64", shape: [payload.length / 8], bytes: payload },
        { suffix: META_SUFFIX, dtype: "I64", shape: [meta.length / 8], bytes: meta },
      ],
      nonzeros,
      maxChunkNonzeros,
    };
  },

  describe({ dtype, sparsity, keptModules, version }) {
    return {
      quant_method: "spinfer",
      format: "tile-bitmap",
      format_version: `${VERSION_MAJOR}.${VERSION_MINOR}`,
      chunk: [CHUNK_ROWS, CHUNK_COLS],
      value_dtype: dtype === "F16" ? "float16" : "bfloat16",
      global_sparsity: Number(sparsity.toFixed(6)),
      modules_to_not_convert: keptModules,
      tensors: "spinfer_manifest.json",
      producer: { name: "spinfer", version },
    };
  },
};
