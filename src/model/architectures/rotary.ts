/**
 * Frequencies of the rotary embedding and the ways of stretching them, as config.json states them
 * (rope_parameters; before transformers 5 rope_theta and rope_scaling). Rotary embedding: Su et
 * al. 2021. The stretched forms are those of transformers' modeling_rope_utils, rounded to
 * binary32 in the same places: at position 4000 a frequency's last bit is seen in the logits.
 */
import { isRecord } from "../../core/guards.ts";
import type { RotaryTable } from "./ops.ts";
import type { Settings } from "./settings.ts";

export const ROPE_TYPES = ["default", "linear", "dynamic", "llama3", "yarn", "longrope"] as const;
export type RopeType = (typeof ROPE_TYPES)[number];

export interface RotaryOptions {
  readonly headSize: number;
  /** max_position_embeddings. */
  readonly positions: number;
  readonly theta?: number;
  /** Share of a head's columns that is turned where config.json does not say. */
  readonly share?: number;
  /** Whether config.json may turn a share of the columns only. */
  readonly partial?: boolean;
  readonly types?: readonly RopeType[];
}

/**
 * The settings of the embedding, at one place whatever the version that wrote them. Where both are
 * there rope_scaling is what counts, as in transformers 5.
 */
export function ropeSettings(settings: Settings): Settings {
  const scaling = settings.record("rope_scaling") ?? {};
  const theta = settings.value("rope_theta");
  const old = Object.keys(scaling).length > 0 || settings.value("rope_parameters") === undefined;
  return settings.part(old ? "rope_scaling" : "rope_parameters", {
    ...(theta === undefined ? {} : { rope_theta: theta }),
    ...(old ? scaling : settings.record("rope_parameters")),
  });
}

/** Throws E_ARCH_OPTION for a type that is not known or not of this family, E_CONFIG for bad numbers. */
export function readRotary(rope: Settings, model: Settings, options: RotaryOptions): RotaryTable {
  const { headSize, positions, theta = 10_000, share: usual = 1, types = ROPE_TYPES } = options;
  const told = rope.text("rope_type") ?? rope.text("type") ?? "default";
  const type = rope.oneOf("rope_type", told === "su" ? "longrope" : told, types);
  const share =
    rope.number("partial_rotary_factor") ?? model.number("partial_rotary_factor") ?? usual;
  if (share !== 1 && options.partial !== true) {
    throw model.unsupported("partial_rotary_factor", String(share), "1");
  }
  const columns = Math.floor(headSize * share);
  if (columns % 2 !== 0 || columns === 0) {
    throw model.wrong("head_dim", String(headSize), "an even number of columns to turn");
  }
  const base = rope.positive("rope_theta", theta);
  const context: Context = { rope, model, columns, positions, base };
  return RULES[type](context);
}

interface Context {
  readonly rope: Settings;
  readonly model: Settings;
  readonly columns: number;
  readonly positions: number;
  readonly base: number;
}

const RULES: { readonly [Type in RopeType]: (context: Context) => RotaryTable } = {
  default: ({ columns, base }) => fixed(columns, plain(columns, base)),
  linear: ({ columns, base, rope }) => {
    const factor = rope.positive("factor");
    return fixed(
      columns,
      plain(columns, base).map((frequency) => Math.fround(frequency / factor)),
    );
  },
  dynamic,
  llama3,
  yarn,
  longrope,
};

const fixed = (columns: number, frequencies: Float32Array, scale = 1): RotaryTable => ({
  columns,
  frequencies: () => frequencies,
  scale,
});

/** base^(2i / columns) for each pair i. */
function periods(columns: number, base: number): Float32Array {
  return Float32Array.from(
    { length: columns / 2 },
    (_, i) => base ** Math.fround((2 * i) / columns),
  );
}

const plain = (columns: number, base: number): Float32Array =>
  periods(columns, base).map((period) => 1 / period);

/** "NTK-aware", with a base that grows with windows longer than the model was made for. */
function dynamic({ columns, base, positions, rope }: Context): RotaryTable {
  const factor = rope.positive("factor");
  return {
    columns,
    scale: 1,
    frequencies(length) {
      const stretch = (factor * Math.max(length, positions)) / positions - (factor - 1);
      return plain(columns, base * stretch ** (columns / (columns - 2)));
    },
  };
}

/** Llama 3.1: slow turns are slowed down by `factor`, fast ones kept, between them a line. */
function llama3({ columns, base, positions, rope }: Context): RotaryTable {
  const factor = rope.positive("factor");
  const low = rope.positive("low_freq_factor");
  const high = rope.positive("high_freq_factor");
  const context = rope.positive("original_max_position_embeddings", positions);
  const frequencies = plain(columns, base).map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < context / high) return frequency;
    if (wavelength > context / low) return frequency / factor;
    const smooth = (context / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
  return fixed(columns, frequencies);
}

/** YaRN: Peng et al. 2023 (arXiv 2309.00071). */
function yarn({ columns, base, positions, rope, model }: Context): RotaryTable {
  const context =
    model.number("original_max_position_embeddings") ??
    rope.positive("original_max_position_embeddings", positions);
  const factor = rope.positive("factor", positions / context);
  const columnOfTurns = (turns: number) =>
    (columns * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const whole = rope.flag("truncate", true);
  const first = columnOfTurns(rope.positive("beta_fast", 32));
  const last = columnOfTurns(rope.positive("beta_slow", 1));
  const low = Math.max(whole ? Math.floor(first) : first, 0);
  const high = Math.min(whole ? Math.ceil(last) : last, columns - 1);
  const width = low === high ? 0.001 : high - low;
  const frequencies = periods(columns, base).map((period, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / width));
    return (1 / (factor * period)) * stretched + (1 / period) * (1 - stretched);
  });
  return fixed(columns, frequencies, yarnScale(rope, factor));
}

function yarnScale(rope: Settings, factor: number): number {
  const stated = rope.number("attention_factor");
  if (stated !== undefined) return stated;
  const grown = (by: number) => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
  const up = rope.number("mscale");
  const down = rope.number("mscale_all_dim");
  return up && down ? grown(up) / grown(down) : grown(1);
}

/** LongRoPE (arXiv 2402.13753): a divisor for each pair, of one list up to the context it was made for. */
function longrope({ columns, base, positions, rope, model }: Context): RotaryTable {
  const context =
    model.number("original_max_position_embeddings") ??
    rope.positive("original_max_position_embeddings", positions);
  const factor = rope.number("factor") ?? positions / context;
  const grown = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(context));
  const [short, long] = ["short_factor", "long_factor"].map((key) => {
    const divisors = rope.numbers(key, columns / 2);
    return periods(columns, base).map((period, i) => 1 / Math.fround(divisors[i]! * period));
  });
  return {
    columns,
    scale: rope.number("attention_factor") ?? grown,
    frequencies: (length) => (length > context ? long! : short!),
  };
}

/** Sine and cosine of every position of a window: [length, columns / 2], times the table's scale. */
export function rotaryCaches(
  table: RotaryTable,
  length: number,
): { readonly cosine: Float32Array; readonly sine: Float32Array } {
  const frequencies = table.frequencies(length);
  const pairs = frequencies.length;
  const cosine = new Float32Array(length * pairs);
  const sine = new Float32Array(length * pairs);
  for (let position = 0; position < length; position++) {
    for (let i = 0; i < pairs; i++) {
      const angle = Math.fround(position * frequencies[i]!);
      cosine[position * pairs + i] = Math.fround(Math.cos(angle)) * table.scale;
      sine[position * pairs + i] = Math.fround(Math.sin(angle)) * table.scale;
    }
  }
  return { cosine, sine };
}

/** Whether settings are those of each kind of layer (Gemma 3): { full_attention: {…}, … }. */
export function isNested(rope: Record<string, unknown>): boolean {
  return isRecord(rope["full_attention"]) || isRecord(rope["sliding_attention"]);
}
