/** The list of formats; the one file that knows them all, in the order in which they are tried. */
import { createRegistry, type Registry } from "../src/core/registry.ts";
import type { Format } from "./defineFormat.ts";
import { gguf } from "./gguf/format.ts";
import { safetensors } from "./safetensors/format.ts";
import { tileBitmap } from "./tile-bitmap/format.ts";

export { encodeHeader, type PlacedTensor, planHeader } from "./safetensors/writer.ts";
export { countNonzeros, useWasmKernels } from "./tile-bitmap/packer.ts";

export const formats: Registry<Format> = createRegistry("format", "E_FORMAT_UNKNOWN", [
  tileBitmap,
  safetensors,
  gguf,
]);
