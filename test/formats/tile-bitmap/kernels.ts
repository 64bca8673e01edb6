/** Both implementations of the strip kernels, for tests that hold for each. */
import { readFileSync } from "node:fs";
import { plainKernels, type StripKernels } from "../../../formats/tile-bitmap/chunks.ts";
import { createWasmKernels } from "../../../formats/tile-bitmap/wasmKernels.ts";

const module = new URL("../../../formats/tile-bitmap/wasm/tileBitmap.wasm", import.meta.url);

export const wasmKernels: StripKernels = createWasmKernels(readFileSync(module));
export const allKernels: readonly StripKernels[] = [plainKernels, wasmKernels];
