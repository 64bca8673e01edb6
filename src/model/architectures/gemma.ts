/**
 * Gemma 1, 2 and 3 (text): norms multiply by 1 + weight, the embedding is scaled, heads have a
 * size of their own. Gemma 2 and 3 norm each branch on its way out too; blocks take turns at
 * sliding; Gemma 3 turns heads at different rates in the two kinds.
 */

import { type Decoder, defineArchitecture, type TensorNames } from "./defineArchitecture.ts";
import type { Activation, Ops, RotaryTable } from "./ops.ts";
import {
  findRoot,
  gatedMlp,
  type HeadSizes,
  headWeight,
  readHeads,
  type SelfAttention,
  selfAttention,
} from "./parts.ts";
import { isNested, readRotary, ropeSettings } from "./rotary.ts";
import type { Settings } from "./settings.ts";
import { readKinds, readWindows, type Windows } from "./windows.ts";

interface Traits {
  readonly activation: Activation;
  readonly scale: (sizes: HeadSizes) => number;
  readonly windows: Windows;
  readonly rotary: (sizes: HeadSizes, positions: number) => (block: number) => RotaryTable;
  /** Norms after each branch as well as before it. */
  readonly fourNorms: boolean;
  readonly headNorms: boolean;
  readonly softcap?: number | undefined;
  readonly finalSoftcap?: number | undefined;
}

/** Where multimodal checkpoints keep the language model. */
const ROOTS = ["model.", "model.language_model.", "language_model.model.", ""];

function readGemma(settings: Settings, names: TensorNames, traits: Traits): Decoder {
  settings.refuse("use_bidirectional_attention");
  const hidden = settings.count("hidden_size");
  const sizes = readHeads(settings, hidden, { headSize: 256 });
  const vocabulary = settings.count("vocab_size");
  const positions = settings.count("max_position_embeddings", 8192);
  const epsilon = settings.positive("rms_norm_eps", 1e-6);
  const rotary = traits.rotary(sizes, positions);
  const root = findRoot(names, "embed_tokens.weight", ROOTS);
  const embedding = `${root}embed_tokens.weight`;
  const head = headWeight(settings, names, "lm_head.weight", embedding, true);
  const bias = settings.flag("attention_bias", false);
  const mlp = {
    hidden,
    inner: settings.count("intermediate_size"),
    activation: traits.activation,
    bias: false,
  };
  const norm = <Tensor>(ops: Ops<Tensor>, tensor: Tensor, name: string): Tensor =>
    ops.rmsNorm(tensor, { weight: `${name}.weight`, size: hidden, epsilon, addOne: true });
  const branch = <Tensor>(
    ops: Ops<Tensor>,
    input: Tensor,
    [before, after]: readonly [string, string],
    inner: (tensor: Tensor) => Tensor,
  ): Tensor => {
    const made = inner(norm(ops, input, before));
    return ops.add(input, traits.fourNorms ? norm(ops, made, after) : made);
  };
  const attention: SelfAttention = {
    ...sizes,
    hidden,
    rotary: rotary(0),
    scale: traits.scale(sizes),
    softcap: traits.softcap,
    bias,
    outputBias: bias,
    headNorm: traits.headNorms ? { epsilon, addOne: true } : undefined,
  };
  const beforeMlp = traits.fourNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
  return {
    blocks: settings.count("num_hidden_layers"),
    hidden,
    vocabulary,
    positions,
    positionTable: false,
    embed: {
      prefix: "",
      body: (ops, ids) =>
        ops.scale(
          ops.embedding(ids, { weight: embedding, rows: vocabulary, columns: hidden }),
          Math.fround(Math.sqrt(hidden)),
        ),
    },
    block: (index) => ({
      prefix: `${root}layers.${index}.`,
      body: (ops, input) => {
        const spec = { ...attention, rotary: rotary(index), window: traits.windows(index) };
        const middle = branch(
          ops,
          input,
          ["input_layernorm", "post_attention_layernorm"],
          (tensor) => selfAttention(ops, tensor, spec),
        );
        return branch(ops, middle, [beforeMlp, "post_feedforward_layernorm"], (tensor) =>
          gatedMlp(ops, tensor, mlp),
        );
      },
    }),
    head: {
      prefix: "",
      body: (ops, input) => {
        const logits = ops.linear(norm(ops, input, `${root}norm`), {
          weight: head,
          inputs: hidden,
          outputs: vocabulary,
        });
        return traits.finalSoftcap === undefined
          ? logits
          : ops.softcap(logits, traits.finalSoftcap);
      },
    },
  };
}

const oneTable =
  (settings: Settings) =>
  ({ headSize }: HeadSizes, positions: number) => {
    const table = readRotary(ropeSettings(settings), settings, { headSize, positions });
    return () => table;
  };

export const gemma = defineArchitecture({
  name: "gemma",
  read: (settings, names) => {
    // the first release said "gelu" and meant its approximation
    const said = settings.text("hidden_activation") ?? settings.text("hidden_act") ?? "gelu";
    const activation =
      said === "gelu" ? "gelu-tanh" : settings.activation("hidden_act", "gelu_pytorch_tanh");
    return readGemma(settings, names, {
      activation,
      scale: ({ headSize }) => headSize ** -0.5,
      windows: () => undefined,
      rotary: oneTable(settings),
      fourNorms: false,
      headNorms: false,
    });
  },
});

export const gemma2 = defineArchitecture({
  name: "gemma2",
  read: (settings, names) =>
    readGemma(settings, names, {
      activation: settings.activation("hidden_activation", "gelu_pytorch_tanh"),
      scale: () => settings.positive("query_pre_attn_scalar", 256) ** -0.5,
      windows: readWindows(settings, (block) => block % 2 === 0),
      rotary: oneTable(settings),
      fourNorms: true,
      headNorms: false,
      softcap: settings.number("attn_logit_softcapping"),
      finalSoftcap: settings.number("final_logit_softcapping"),
    }),
});

/** Frequencies of the blocks that see everything and of those that slide. */
function twoTables(settings: Settings, slides: (block: number) => boolean) {
  return ({ headSize }: HeadSizes, positions: number) => {
    const found = settings.record("rope_parameters") ?? {};
    const kind = (name: string, usual: Record<string, unknown>): RotaryTable => {
      const nested = isNested(found) ? found[name] : undefined;
      const values = { ...usual, ...((nested as Record<string, unknown> | undefined) ?? {}) };
      return readRotary(settings.part(`rope_parameters.${name}`, values), settings, {
        headSize,
        positions,
      });
    };
    const full = kind("full_attention", {
      rope_theta: settings.positive("rope_theta", 1_000_000),
      ...(settings.record("rope_scaling") ?? {}),
    });
    const sliding = kind("sliding_attention", {
      rope_theta: settings.positive("rope_local_base_freq", 10_000),
    });
    return (block: number) => (slides(block) ? sliding : full);
  };
}

export const gemma3 = defineArchitecture({
  name: "gemma3_text",
  read: (settings, names) => {
    const every = settings.count("sliding_window_pattern", 6);
    const kinds = readKinds(settings);
    const slides = (block: number) => kinds?.[block] ?? (block + 1) % every !== 0;
    return readGemma(settings, names, {
      activation: settings.activation("hidden_activation", "gelu_pytorch_tanh"),
      scale: () => settings.positive("query_pre_attn_scalar", 256) ** -0.5,
      windows: readWindows(settings, slides),
      rotary: twoTables(settings, slides),
      fourNorms: true,
      headNorms: true,
      softcap: settings.number("attn_logit_softcapping"),
      finalSoftcap: settings.number("final_logit_softcapping"),
    });
  },
});
