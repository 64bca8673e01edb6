/** config.json as data: the keys that matter here, at the top or in a multimodal model's part. */
import type { ModelConfig } from "../core/archive.ts";
import { isCount, isRecord } from "../core/guards.ts";

/** Where multimodal models keep the language model's settings. */
const TEXT_PARTS = ["text_config", "llm_config", "language_config"] as const;

/** The language model's own part of a config: the config itself where there is no such part. */
export function textConfig(config: ModelConfig | undefined): ModelConfig {
  if (config === undefined) return {};
  for (const part of TEXT_PARTS) {
    const inner = config[part];
    if (isRecord(inner)) return inner;
  }
  return config;
}

/** A whole number of the text part or of the top, or undefined. */
export function configNumber(config: ModelConfig | undefined, key: string): number | undefined {
  const value = textConfig(config)[key] ?? config?.[key];
  return isCount(value) ? value : undefined;
}

/** A text of the text part or of the top, or undefined. */
export function configText(config: ModelConfig | undefined, key: string): string | undefined {
  const value = textConfig(config)[key] ?? config?.[key];
  return typeof value === "string" ? value : undefined;
}
