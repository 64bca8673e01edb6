/** config.json of a model folder: strict JSON, an object, of bounded size. */
import type { ModelConfig } from "../../src/core/archive.ts";
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { isRecord } from "../../src/core/guards.ts";
import { JsonError } from "../../src/core/jsonError.ts";
import type { Limits } from "../../src/core/limits.ts";
import { parseStrictJson, plainJson } from "../../src/core/strictJson.ts";
import { printable } from "../../src/core/text.ts";

export const CONFIG_FILE = "config.json";

/** Reads config.json. Throws E_CONFIG when it is missing, too large or not a JSON object. */
export async function readConfig(files: ModelFiles, limits: Limits): Promise<ModelConfig> {
  return (await readConfigAndText(files, limits)).config;
}

/** The same, with the text that it was. */
export async function readConfigAndText(
  files: ModelFiles,
  limits: Limits,
): Promise<{ readonly config: ModelConfig; readonly text: string }> {
  if (!files.has(CONFIG_FILE)) {
    throw new SpInferError("E_CONFIG", `${files.label}: the folder has no ${CONFIG_FILE}`, {
      path: files.label,
      hint: "copy config.json from the model's page, or name the .safetensors file itself",
    });
  }
  const source = await files.open(CONFIG_FILE);
  if (source.size > limits.configBytes) {
    throw new SpInferError(
      "E_CONFIG",
      `${source.label}: ${source.size} bytes, over the limit of ${limits.configBytes}`,
      { path: source.label, hint: "raise the limit with --limit configBytes=…" },
    );
  }
  const bytes = await source.read(0, source.size);
  return { config: parseConfig(bytes, source.label), text: new TextDecoder().decode(bytes) };
}

/** NaN and Infinity are accepted: transformers writes them (`"time_step_limit": [0.0, Infinity]`). */
export function parseConfig(bytes: Uint8Array, label: string): ModelConfig {
  try {
    const config = plainJson(parseStrictJson(bytes, { nonFinite: true }));
    if (isRecord(config)) return config;
    throw new JsonError("type", 0, "it is not an object");
  } catch (thrown) {
    if (!(thrown instanceof JsonError)) throw thrown;
    throw new SpInferError(
      "E_CONFIG",
      `${label}: not valid at byte ${thrown.offset}: ${thrown.message}`,
      {
        path: label,
        offset: thrown.offset,
        cause: thrown,
      },
    );
  }
}

/**
 * `quantization_config.quant_method` of a config, lower-cased; "unnamed" when the key is there
 * without a method, undefined when the model is not quantized.
 */
export function quantMethod(config: ModelConfig): string | undefined {
  const found = config["quantization_config"] ?? config["compression_config"];
  if (found === undefined || found === null) return undefined;
  const method = isRecord(found) ? found["quant_method"] : undefined;
  return typeof method === "string" ? printable(method.toLowerCase(), 40) : "unnamed";
}
