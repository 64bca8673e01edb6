/**
 * Puts the WebAssembly kernels into use in this thread, once. Where they cannot run, the plain
 * TypeScript ones stay: slower, the same bytes. SPINFER_KERNELS=typescript asks for that.
 */
import { useWasmKernels } from "../../../formats/index.ts";
import { createWasmDense, type DenseKernels, plainDense } from "../../../pruners/denseKernels.ts";
import { plainSelect, type SelectKernels } from "../../../pruners/select.ts";
import { createWasmSelect } from "../../../pruners/wasmSelect.ts";
import { readAsset } from "../../io/asset.ts";

interface Kernels {
  readonly kernels: SelectKernels;
  readonly dense: DenseKernels;
}

const PLAIN: Kernels = { kernels: plainSelect, dense: plainDense };

let active: Kernels | undefined;

/** Pruning kernels of this thread; strip kernels are put into use on the way. */
export function selectKernels(): Kernels {
  active ??= accelerate();
  return active;
}

function accelerate(): Kernels {
  if (process.env["SPINFER_KERNELS"] === "typescript") return PLAIN;
  const [strips, select, dense] = [
    "formats/tile-bitmap/wasm/tileBitmap.wasm",
    "pruners/wasm/select.wasm",
    "pruners/wasm/dense.wasm",
  ].map(readAsset);
  try {
    useWasmKernels(strips!);
    return { kernels: createWasmSelect(select!), dense: createWasmDense(dense!) };
  } catch {
    return PLAIN; // an engine without WebAssembly SIMD
  }
}
