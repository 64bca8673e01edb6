/** A config.json by itself, of a model whose weights need not be there. */
import { join } from "node:path";
import type { ModelConfig } from "../core/archive.ts";
import { SpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { JsonError } from "../core/jsonError.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { parseStrictJson, plainJson } from "../core/strictJson.ts";
import { isFolder, readSmallFile } from "../io/smallFile.ts";

/** Of the file, or of the folder that has one. Throws E_CONFIG, E_IO, E_NOT_REGULAR. */
export async function readModelConfig(path: string): Promise<ModelConfig> {
  const file = isFolder(path) ? join(path, "config.json") : path;
  const bytes = await readSmallFile(file, DEFAULT_LIMITS.configBytes + 1);
  if (bytes.length > DEFAULT_LIMITS.configBytes) {
    throw new SpInferError("E_CONFIG", `${file}: larger than ${DEFAULT_LIMITS.configBytes} bytes`, {
      path: file,
    });
  }
  try {
    const config = plainJson(parseStrictJson(bytes, { nonFinite: true }));
    if (isRecord(config)) return config;
    throw new JsonError("type", 0, "it is not an object");
  } catch (thrown) {
    if (!(thrown instanceof JsonError)) throw thrown;
    throw new SpInferError(
      "E_CONFIG",
      `${file}: not valid at byte ${thrown.offset}: ${thrown.message}`,
      { path: file, offset: thrown.offset, cause: thrown },
    );
  }
}
