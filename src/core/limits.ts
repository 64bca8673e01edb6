/** Bounds on what a file may make us do. Each can be raised with `--limit key=value`. */
import { SpInferError } from "./errors.ts";

export const DEFAULT_LIMITS = {
  /** Bytes of a safetensors header. The format itself allows no more. */
  headerBytes: 100_000_000,
  tensors: 2_000_000,
  shards: 10_000,
  indexBytes: 256 * 1024 * 1024,
  configBytes: 10 * 1024 * 1024,
  tensorNameBytes: 65_536,
  dims: 8,
  ggufKeys: 100_000,
  ggufStringBytes: 10 * 1024 * 1024,
  ggufArrayItems: 16 * 1024 * 1024,
  ggufArrayDepth: 4,
  /** Bytes of tokenizer.json. */
  tokenizerBytes: 128 * 1024 * 1024,
  /** Seconds for tokenising a million characters, or less; a slow machine needs a few. */
  tokenizerSeconds: 60,
  /** Bytes of a text that is tokenised as one. */
  textBytes: 64 * 1024 * 1024,
  /** Dense bytes of one tensor. */
  denseBytes: 64 * 1024 * 1024 * 1024,
} as const;

export type LimitName = keyof typeof DEFAULT_LIMITS;
export type Limits = { readonly [Key in LimitName]: number };

/** Parses `["tensors=5000000", …]`. */
export function parseLimits(assignments: readonly string[]): Limits {
  const limits: Record<LimitName, number> = { ...DEFAULT_LIMITS };
  for (const assignment of assignments) {
    const [key = "", text = ""] = assignment.split("=", 2);
    const value = Number(text);
    if (
      !Object.hasOwn(limits, key) ||
      text.trim() === "" ||
      !Number.isSafeInteger(value) ||
      value < 1
    ) {
      throw new SpInferError("E_OPTION", `--limit ${assignment}: not a limit`, {
        expected: `key=whole number, with key one of ${Object.keys(limits).join(", ")}`,
      });
    }
    limits[key as LimitName] = value;
  }
  return limits;
}
