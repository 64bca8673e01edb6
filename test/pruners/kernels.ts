/** Both implementations of the selection kernels, for tests that hold for each. */
import { readFileSync } from "node:fs";
import { plainSelect, type SelectKernels } from "../../pruners/select.ts";
import { createWasmSelect } from "../../pruners/wasmSelect.ts";

const module = new URL("../../pruners/wasm/select.wasm", import.meta.url);

export const wasmSelect: SelectKernels = createWasmSelect(readFileSync(module));
export const allSelects: readonly SelectKernels[] = [plainSelect, wasmSelect];
