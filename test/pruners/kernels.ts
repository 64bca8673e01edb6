/** Both implementations of the selection kernels, for tests that hold for each. */
import { readFileSync } from "node:fs";
import { createWasmDense, type DenseKernels } from "../../pruners/denseKernels.ts";
import { plainSelect, type SelectKernels } from "../../pruners/select.ts";
import { createWasmSelect } from "../../pruners/wasmSelect.ts";

function module(name: string): Uint8Array {
  return readFileSync(new URL(`../../pruners/wasm/${name}.wasm`, import.meta.url));
}

export const wasmSelect: SelectKernels = createWasmSelect(module("select"));
export const wasmDense: DenseKernels = createWasmDense(module("dense"));
export const allSelects: readonly SelectKernels[] = [plainSelect, wasmSelect];
