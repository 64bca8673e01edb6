/** The random checkpoints of every family that tests of the engine share, and how to open them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RunnableModel } from "../../src/engine/engine.ts";
import { type EngineChoice, openRunnable } from "../../src/engine/index.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { weightSource } from "../../src/pipeline/weightSource.ts";
import { runPython } from "../helpers/python.ts";

const SMALL = {
  vocab_size: 160,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
};

const GPT = { vocab_size: 160, n_embd: 64, n_layer: 2, n_head: 4, n_positions: 256 };

const OPT = {
  vocab_size: 160,
  hidden_size: 64,
  ffn_dim: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 256,
};

const NEOX = { ...SMALL, num_key_value_heads: undefined };

interface Case {
  readonly model_type: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const llama = (config: Record<string, unknown>): Case => ({
  model_type: "llama",
  config: { ...SMALL, ...config },
});

const stretched = (rope: Record<string, unknown>, config: Record<string, unknown> = {}): Case =>
  llama({ ...config, rope_parameters: { rope_theta: 10_000, ...rope } });

const ALTERNATING = ["sliding_attention", "full_attention"];
export const LONG_FACTORS = [1, 1.2, 1.6, 2.3, 3.5, 5, 8, 12];

export const CASES = {
  llama: llama({}),
  "llama, biases, tied": llama({
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: true,
    num_key_value_heads: 4,
    hidden_act: "gelu",
  }),
  "llama, linear": stretched({ rope_type: "linear", factor: 4 }),
  "llama, dynamic": stretched(
    { rope_type: "dynamic", factor: 2 },
    { max_position_embeddings: 100 },
  ),
  "llama, llama3": stretched({
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 64,
  }),
  "llama, yarn": stretched({
    rope_type: "yarn",
    factor: 4,
    original_max_position_embeddings: 64,
  }),
  // long enough that neither end of the ramp is cut off
  "llama, yarn, long": stretched(
    { rope_type: "yarn", factor: 4, original_max_position_embeddings: 4096 },
    { max_position_embeddings: 16_384 },
  ),
  "llama, yarn, own numbers": stretched({
    rope_type: "yarn",
    factor: 4,
    original_max_position_embeddings: 64,
    truncate: false,
    beta_fast: 9,
    beta_slow: 2,
    mscale: 0.8,
    mscale_all_dim: 0.5,
  }),
  mistral: { model_type: "mistral", config: { ...SMALL, head_dim: 24, sliding_window: 40 } },
  qwen2: { model_type: "qwen2", config: { ...SMALL } },
  "qwen2, sliding": {
    model_type: "qwen2",
    config: { ...SMALL, use_sliding_window: true, sliding_window: 33, max_window_layers: 1 },
  },
  qwen3: { model_type: "qwen3", config: { ...SMALL, head_dim: 32 } },
  gpt2: { model_type: "gpt2", config: { ...GPT } },
  "gpt2, scaled by depth": {
    model_type: "gpt2",
    config: { ...GPT, n_inner: 96, scale_attn_by_inverse_layer_idx: true },
  },
  opt: { model_type: "opt", config: { ...OPT } },
  "opt, norms after": {
    model_type: "opt",
    config: { ...OPT, do_layer_norm_before: false, word_embed_proj_dim: 32 },
  },
  "opt, bare": {
    model_type: "opt",
    config: { ...OPT, enable_bias: false, layer_norm_elementwise_affine: false },
  },
  gpt_neox: { model_type: "gpt_neox", config: { ...NEOX } },
  "gpt_neox, sequential": {
    model_type: "gpt_neox",
    config: { ...NEOX, use_parallel_residual: false, attention_bias: false },
  },
  phi3: {
    model_type: "phi3",
    config: { ...SMALL, pad_token_id: 0, sliding_window: 140, partial_rotary_factor: 0.5 },
  },
  "phi3, longrope": {
    model_type: "phi3",
    config: {
      ...SMALL,
      pad_token_id: 0,
      original_max_position_embeddings: 64,
      rope_parameters: {
        rope_type: "longrope",
        rope_theta: 10_000,
        short_factor: LONG_FACTORS.map(() => 1),
        long_factor: LONG_FACTORS,
      },
    },
  },
  gemma: { model_type: "gemma", config: { ...SMALL, head_dim: 32 } },
  gemma2: {
    model_type: "gemma2",
    config: { ...SMALL, head_dim: 32, query_pre_attn_scalar: 24, sliding_window: 20 },
  },
  gemma3: {
    model_type: "gemma3_text",
    config: {
      ...SMALL,
      head_dim: 32,
      query_pre_attn_scalar: 40,
      sliding_window: 50,
      layer_types: ALTERNATING,
      final_logit_softcapping: 30.5,
    },
  },
} as const satisfies Record<string, Case>;

export type CaseName = keyof typeof CASES;
export const CASE_NAMES = Object.keys(CASES) as CaseName[];

interface Described {
  readonly windows: number;
  readonly length: number;
  readonly vocabulary: number;
  readonly blocks: number;
  readonly layers: readonly string[];
}

export class Checkpoints {
  private readonly folder: string;
  private readonly described: Record<string, Described>;

  /** Makes the checkpoints in an empty folder. */
  constructor(folder: string, names: readonly CaseName[] = CASE_NAMES) {
    this.folder = folder;
    const script = fileURLToPath(new URL("makeCheckpoints.py", import.meta.url));
    const cases = Object.fromEntries(names.map((name) => [name, CASES[name]]));
    const output = runPython(script, [folder, JSON.stringify(cases)]);
    this.described = JSON.parse(output.toString("utf8"));
  }

  of(name: CaseName): Described {
    return this.described[name]!;
  }

  path(name: CaseName): string {
    return join(this.folder, name);
  }

  floats(name: CaseName, what: string): Float32Array {
    return new Float32Array(this.bytes(name, what));
  }

  doubles(name: CaseName, what: string): Float64Array {
    return new Float64Array(this.bytes(name, what));
  }

  ids(name: CaseName): Int32Array {
    return new Int32Array(this.bytes(name, "ids"));
  }

  open(name: CaseName, prefer: EngineChoice): Promise<RunnableModel> {
    return openFolder(this.path(name), prefer);
  }

  private bytes(name: CaseName, what: string): ArrayBuffer {
    return new Uint8Array(readFileSync(join(this.folder, `${name}.${what}`))).buffer;
  }
}

export async function openFolder(path: string, prefer: EngineChoice): Promise<RunnableModel> {
  const model = await openModel(path);
  return openRunnable(model.archive.config, weightSource(model), { prefer });
}

/** Hidden states after all blocks. */
export async function runBlocks(
  model: RunnableModel,
  ids: Int32Array,
  length: number,
): Promise<Float32Array> {
  let hidden = await model.embed(ids, length);
  for (let index = 0; index < model.facts.blocks; index++) {
    const block = await model.openBlock(index);
    ({ hidden } = await block.run(hidden, length));
    await block.close();
  }
  return hidden;
}

/** Largest difference over the largest reference value. */
export function relativeDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(found[i]! - expected[i]!);
    if (!(apart <= difference)) difference = apart;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}
