/**
 * Puts the WebAssembly kernels into use in this thread, once. Where they cannot run, the plain
 * TypeScript ones stay: slower, the same bytes. SPINFER_KERNELS=typescript asks for that.
 */
import { useWasmKernels } from "../../../formats/index.ts";
import { createWasmDense, type DenseKernels, plainDense } from "../../../pruners/denseKernels.ts";
import { plainSelect, type SelectKernels } from "../../../pruners/select.ts";
import { createWasmSelect } from "../../../pruners/wasmSelect.ts";
import { widenHalves } from "../../core/half.ts";
import { createWasmWiden, type Widen } from "../../core/wasmHalf.ts";
import { readAsset } from "../../io/asset.ts";

interface Kernels {
  readonly kernels: SelectKernels;
  readonly dense: DenseKernels;
  readonly widen: Widen;
}

const PLAIN: Kernels = { kernels: plainSelect, dense: plainDense, widen: widenHalves };

let active: Kernels | undefined;

/** Kernels of this thread; strip kernels are put into use on the way. */
export function selectKernels(): Kernels {
  active ??= accelerate();
  return active;
}

function accelerate(): Kernels {
  if (process.env["SPINFER_KERNELS"] === "typescript") return PLAIN;
  const [strips, select, dense, half] = [
    "formats/tile-bitmap/wasm/tileBitmap.wasm",
    "pruners/wasm/select.wasm",
    "pruners/wasm/dense.wasm",
    "src/core/wasm/half.wasm",
  ].map(readAsset);
  try {
    useWasmKernels(strips!);
    return {
      kernels: createWasmSelect(select!),
      dense: createWasmDense(dense!),
      widen: createWasmWiden(half!),
    };
  } catch {
    return PLAIN; // an engine without WebAssembly SIMD
  }
}
