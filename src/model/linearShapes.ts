/** The linear layers of a block, from config.json alone: what a decode step multiplies with. */
import type { ModelConfig } from "../core/archive.ts";
import { SpInferError } from "../core/errors.ts";
import { configNumber, configText } from "./config.ts";

export interface LinearShape {
  /** As Llama calls them: "q_proj", …; several that share a shape are named together. */
  readonly name: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
}

/**
 * q, k/v, o, gate/up and down of a gated block with grouped keys, or up and down of a plain one
 * (OPT, GPT-2, GPT-NeoX). Throws E_CONFIG where a size is missing.
 */
export function linearShapes(config: ModelConfig, label: string): LinearShape[] {
  const need = (...keys: readonly string[]): number => {
    for (const key of keys) {
      const value = configNumber(config, key);
      if (value !== undefined && value > 0) return value;
    }
    throw new SpInferError("E_CONFIG", `${label}: no ${keys[0]}`, {
      path: label,
      expected: "the config.json of a language model: hidden_size, num_attention_heads, …",
    });
  };
  const hidden = need("hidden_size", "n_embd");
  const heads = need("num_attention_heads", "n_head");
  const keyHeads = configNumber(config, "num_key_value_heads") ?? heads;
  const headSize = configNumber(config, "head_dim") ?? Math.floor(hidden / heads);
  const type = configText(config, "model_type") ?? "";
  const isPlain = PLAIN_BLOCKS.has(type);
  const inner =
    configNumber(config, "intermediate_size") ??
    configNumber(config, "ffn_dim") ??
    configNumber(config, "n_inner") ??
    (isPlain ? 4 * hidden : need("intermediate_size"));
  const attention: LinearShape[] =
    keyHeads === heads
      ? [{ name: "q_proj, k_proj, v_proj", rows: heads * headSize, cols: hidden }]
      : [
          { name: "q_proj", rows: heads * headSize, cols: hidden },
          { name: "k_proj, v_proj", rows: keyHeads * headSize, cols: hidden },
        ];
  return [
    ...attention,
    { name: "o_proj", rows: hidden, cols: heads * headSize },
    { name: isPlain ? "up_proj" : "gate_proj, up_proj", rows: inner, cols: hidden },
    { name: "down_proj", rows: hidden, cols: inner },
  ];
}

const PLAIN_BLOCKS: ReadonlySet<string> = new Set(["opt", "gpt2", "gpt_neox", "phi", "bloom"]);
