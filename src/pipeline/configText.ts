/**
 * config.json of an output: the source's text with our dtype and quantization_config. The text is
 * edited, not written anew, since the way numbers are written matters to some loaders.
 */
import type { Archive } from "../core/archive.ts";
import type { WeightDtype } from "../core/dtype.ts";
import { editJsonObject } from "../core/jsonEdit.ts";

const TORCH_DTYPES: Readonly<Record<WeightDtype, string>> = {
  F16: "float16",
  BF16: "bfloat16",
  F32: "float32",
};

/** `quantization` undefined: none, whatever the source had. */
export function modelConfigText(
  { config = {}, configText = "{}" }: Pick<Archive, "config" | "configText">,
  dtype: WeightDtype,
  quantization: Readonly<Record<string, unknown>> | undefined,
): string {
  const named = ["torch_dtype", "dtype"].filter((key) => typeof config[key] === "string");
  return editJsonObject(new TextEncoder().encode(configText), {
    ...Object.fromEntries(named.map((key) => [key, TORCH_DTYPES[dtype]])),
    quantization_config: quantization,
  });
}
