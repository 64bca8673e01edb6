/**
 * Puts the WebAssembly kernels into use in this thread, once. Where they cannot run, the plain
 * TypeScript ones stay: slower, the same bytes. SPINFER_KERNELS=typescript asks for that.
 */
import { useWasmKernels } from "../../../formats/index.ts";
import { plainSelect, type SelectKernels } from "../../../pruners/select.ts";
import { createWasmSelect } from "../../../pruners/wasmSelect.ts";
import { readAsset } from "../../io/asset.ts";

let active: SelectKernels | undefined;

/** Selection kernels of this thread; strip kernels are put into use on the way. */
export function selectKernels(): { readonly kernels: SelectKernels } {
  active ??= accelerate();
  return { kernels: active };
}

function accelerate(): SelectKernels {
  if (process.env["SPINFER_KERNELS"] === "typescript") return plainSelect;
  const [strips, select] = [
    "formats/tile-bitmap/wasm/tileBitmap.wasm",
    "pruners/wasm/select.wasm",
  ].map(readAsset);
  try {
    useWasmKernels(strips!);
    return createWasmSelect(select!);
  } catch {
    return plainSelect; // an engine without WebAssembly SIMD
  }
}
