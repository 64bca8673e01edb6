/** config.json of an output: the source's keys in their order, our dtype and quantization_config. */
import type { ModelConfig } from "../core/archive.ts";
import type { WeightDtype } from "../core/dtype.ts";

const TORCH_DTYPES: Readonly<Record<WeightDtype, string>> = {
  F16: "float16",
  BF16: "bfloat16",
  F32: "float32",
};

/** `quantization` undefined: none, whatever the source had. */
export function modelConfigText(
  config: ModelConfig,
  dtype: WeightDtype,
  quantization: Readonly<Record<string, unknown>> | undefined,
): string {
  const { quantization_config: _, ...rest } = config;
  const named = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [
      key,
      (key === "torch_dtype" || key === "dtype") && typeof value === "string"
        ? TORCH_DTYPES[dtype]
        : value,
    ]),
  );
  return pythonJson(
    quantization === undefined ? named : { ...named, quantization_config: quantization },
  );
}

/** JSON as Python writes and reads it: with Infinity and NaN, which some configurations hold. */
function pythonJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_, item) =>
      typeof item === "number" && !Number.isFinite(item) ? `\u0000${pythonName(item)}\u0000` : item,
    2,
  );
  return `${text.replace(/"\\u0000(-?\w+)\\u0000"/g, "$1")}\n`;
}

function pythonName(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return value > 0 ? "Infinity" : "-Infinity";
}
