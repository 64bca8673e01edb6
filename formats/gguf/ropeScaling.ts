/**
 * `rope_scaling` of config.json, from what a GGUF says about it.
 *
 * Llama 3's rule is stored as its result, a divisor for each frequency (rope_freqs.weight). The
 * rule has four parameters; they are found again from the divisors and proved by computing the
 * divisors from them. LongRoPE of Phi-3 is stored as it is, in two tables.
 */
import type { ConfigSource } from "./architectures/defineArchitecture.ts";
import { shortestFloat } from "./sizes.ts";

export type RopeScaling = { readonly [key: string]: unknown } | null;

/** Throws E_GGUF_METADATA when the scaling cannot be expressed in a config.json. */
export function ropeScaling(source: ConfigSource): RopeScaling {
  return llama3Scaling(source) ?? longRope(source) ?? statedScaling(source);
}

interface Llama3 {
  readonly factor: number;
  readonly low: number;
  readonly high: number;
  readonly context: number;
}

function llama3Scaling({ metadata, sizes, tables }: ConfigSource): RopeScaling | undefined {
  const divisors = tables.get("rope_freqs.weight");
  if (divisors === undefined || divisors.every((divisor) => divisor === 1)) return undefined;
  const frequencies = Array.from(
    divisors,
    (_, i) => sizes.ropeTheta ** ((-2 * i) / sizes.rotaryDims),
  );
  const found = llama3Candidates(divisors, frequencies).find((candidate) =>
    frequencies.every((frequency, i) => {
      const expected = llama3Divisor(frequency, candidate);
      return Math.abs(divisors[i]! - expected) <= 1e-4 * expected;
    }),
  );
  if (found === undefined) {
    throw metadata.wrong("rope_freqs.weight", "does not follow the rule of Llama 3");
  }
  return {
    rope_type: "llama3",
    factor: found.factor,
    low_freq_factor: found.low,
    high_freq_factor: found.high,
    original_max_position_embeddings: found.context,
  };
}

/** transformers, modeling_rope_utils: _compute_llama3_parameters. */
function llama3Divisor(frequency: number, { factor, low, high, context }: Llama3): number {
  const turns = (context * frequency) / (2 * Math.PI);
  if (turns > high) return 1;
  if (turns < low) return factor;
  const smooth = (turns - low) / (high - low);
  return 1 / ((1 - smooth) / factor + smooth);
}

/**
 * Parameters to try: those of every Llama 3 that Meta published, and those that a line through
 * two frequencies between the extremes gives. Only the ratios of context, low and high are in the
 * divisors, so low is taken as 1, as it is in all known models.
 */
function llama3Candidates(divisors: Float32Array, frequencies: readonly number[]): Llama3[] {
  const factor = shortestFloat(Math.max(...divisors));
  const candidates: Llama3[] = [{ factor, low: 1, high: 4, context: 8192 }];
  const between = Array.from(divisors.keys()).filter(
    (i) => divisors[i]! > 1 && divisors[i]! < factor,
  );
  const first = between[0];
  const last = between.at(-1);
  if (first === undefined || last === undefined || first === last) return candidates;
  // smooth = (turns − 1)/(high − 1) is linear in the frequency
  const smoothAt = (i: number) => (1 / divisors[i]! - 1 / factor) / (1 - 1 / factor);
  const slope = (smoothAt(first) - smoothAt(last)) / (frequencies[first]! - frequencies[last]!);
  const atZero = smoothAt(first) - slope * frequencies[first]!;
  const high = 1 - 1 / atZero;
  const context = slope * (high - 1) * 2 * Math.PI;
  candidates.push({ factor, low: 1, high: Math.round(high), context: Math.round(context) });
  return candidates;
}

function longRope({ metadata, sizes, tables }: ConfigSource): RopeScaling | undefined {
  const long = tables.get("rope_factors_long.weight");
  const short = tables.get("rope_factors_short.weight");
  if (long === undefined && short === undefined) return undefined;
  if (long === undefined || short === undefined) {
    throw metadata.wrong("rope_factors", "has one of its two tables only");
  }
  return {
    rope_type: "longrope",
    type: "longrope",
    long_factor: Array.from(long.subarray(0, sizes.rotaryDims / 2), shortestFloat),
    short_factor: Array.from(short.subarray(0, sizes.rotaryDims / 2), shortestFloat),
  };
}

function statedScaling({ metadata, sizes, arch }: ConfigSource): RopeScaling {
  const key = `${arch}.rope.scaling`;
  const type = metadata.string(`${key}.type`) ?? "none";
  const number = (name: string) => {
    const value = metadata.float(`${key}.${name}`);
    return value === undefined ? undefined : shortestFloat(value);
  };
  const factor = number("factor");
  if (type === "none" || (type === "linear" && (factor ?? 1) === 1)) return null;
  if (factor === undefined) throw metadata.wrong(`${key}.factor`, "is missing from the metadata");
  if (type === "linear") return { rope_type: "linear", factor };
  if (type === "yarn") {
    const betaFast = number("yarn_beta_fast");
    const betaSlow = number("yarn_beta_slow");
    return {
      rope_type: "yarn",
      factor,
      original_max_position_embeddings:
        metadata.count(`${key}.original_context_length`) ?? sizes.context,
      ...(betaFast === undefined ? {} : { beta_fast: betaFast }),
      ...(betaSlow === undefined ? {} : { beta_slow: betaSlow }),
    };
  }
  throw metadata.wrong(`${key}.type`, `is "${type}", expected none, linear or yarn`);
}
