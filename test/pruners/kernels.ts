/** Both implementations of the selection kernels, for tests that hold for each. */
import { readFileSync } from "node:fs";
import { createWasmProduct, type SubtractProduct } from "../../pruners/denseProduct.ts";
import { plainSelect, type SelectKernels } from "../../pruners/select.ts";
import { createWasmSelect } from "../../pruners/wasmSelect.ts";

function module(name: string): Uint8Array {
  return readFileSync(new URL(`../../pruners/wasm/${name}.wasm`, import.meta.url));
}

export const wasmSelect: SelectKernels = createWasmSelect(module("select"));
export const wasmProduct: SubtractProduct = createWasmProduct(module("dense"));
export const allSelects: readonly SelectKernels[] = [plainSelect, wasmSelect];
