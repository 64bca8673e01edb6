/**
 * Llama 1 to 3 (SmolLM and TinyLlama too), Mistral, Qwen 2 and Qwen 3: norms before attention and
 * a gated MLP, with rotary positions. They differ in biases, norms of heads and windows.
 */
import { type Decoder, defineArchitecture, type TensorNames } from "./defineArchitecture.ts";
import {
  findRoot,
  gatedMlp,
  type HeadSizes,
  headWeight,
  preNormBlock,
  readHeads,
  selfAttention,
} from "./parts.ts";
import { readRotary, ropeSettings } from "./rotary.ts";
import type { Settings } from "./settings.ts";
import { readWindows, type Windows, windowSize } from "./windows.ts";

/** What one family does of its own. */
interface Traits {
  readonly heads: (settings: Settings, hidden: number) => HeadSizes;
  readonly bias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly headNorms: boolean;
  readonly windows: Windows;
}

function readDecoder(settings: Settings, names: TensorNames, traits: Traits): Decoder {
  const hidden = settings.count("hidden_size");
  const vocabulary = settings.count("vocab_size");
  const blocks = settings.count("num_hidden_layers");
  const positions = settings.count("max_position_embeddings", 2048);
  const sizes = traits.heads(settings, hidden);
  const epsilon = settings.positive("rms_norm_eps", 1e-6);
  const rotary = readRotary(ropeSettings(settings), settings, {
    headSize: sizes.headSize,
    positions,
  });
  const mlp = {
    hidden,
    inner: settings.count("intermediate_size"),
    activation: settings.activation("hidden_act", "silu"),
    bias: traits.mlpBias,
  };
  const root = findRoot(names, "embed_tokens.weight", ["model.", ""]);
  const embedding = `${root}embed_tokens.weight`;
  const head = headWeight(settings, names, "lm_head.weight", embedding, false);
  return {
    blocks,
    hidden,
    vocabulary,
    positions,
    positionTable: false,
    embed: {
      prefix: "",
      body: (ops, ids) =>
        ops.embedding(ids, { weight: embedding, rows: vocabulary, columns: hidden }),
    },
    block: (index) => ({
      prefix: `${root}layers.${index}.`,
      body: (ops, input) =>
        preNormBlock(
          ops,
          input,
          (tensor, name) =>
            ops.rmsNorm(tensor, { weight: `${name}.weight`, size: hidden, epsilon }),
          (tensor) =>
            selfAttention(ops, tensor, {
              ...sizes,
              hidden,
              rotary,
              scale: sizes.headSize ** -0.5,
              window: traits.windows(index),
              bias: traits.bias,
              outputBias: traits.outputBias,
              headNorm: traits.headNorms ? { epsilon } : undefined,
            }),
          (tensor) => gatedMlp(ops, tensor, mlp),
        ),
    }),
    head: {
      prefix: "",
      body: (ops, input) =>
        ops.linear(ops.rmsNorm(input, { weight: `${root}norm.weight`, size: hidden, epsilon }), {
          weight: head,
          inputs: hidden,
          outputs: vocabulary,
        }),
    },
  };
}

const NO_WINDOWS: Windows = () => undefined;

export const llama = defineArchitecture({
  name: "llama",
  read: (settings, names) => {
    const bias = settings.flag("attention_bias", false);
    return readDecoder(settings, names, {
      heads: readHeads,
      bias,
      outputBias: bias,
      mlpBias: settings.flag("mlp_bias", false),
      headNorms: false,
      windows: NO_WINDOWS,
    });
  },
});

export const mistral = defineArchitecture({
  name: "mistral",
  read: (settings, names) => {
    const window = windowSize(settings);
    return readDecoder(settings, names, {
      heads: (from, hidden) => readHeads(from, hidden, { keyHeads: 8 }),
      bias: false,
      outputBias: false,
      mlpBias: false,
      headNorms: false,
      windows: () => window,
    });
  },
});

/** Qwen's blocks from max_window_layers on slide, when they are told to at all. */
function qwenWindows(settings: Settings): Windows {
  if (!settings.flag("use_sliding_window", false)) return NO_WINDOWS;
  const first = settings.number("max_window_layers") ?? 28;
  return readWindows(settings, (index) => index >= first);
}

export const qwen2 = defineArchitecture({
  name: "qwen2",
  read: (settings, names) =>
    readDecoder(settings, names, {
      heads: readHeads,
      bias: true,
      outputBias: false,
      mlpBias: false,
      headNorms: false,
      windows: qwenWindows(settings),
    }),
});

export const qwen3 = defineArchitecture({
  name: "qwen3",
  read: (settings, names) => {
    const bias = settings.flag("attention_bias", false);
    return readDecoder(settings, names, {
      heads: (from, hidden) => readHeads(from, hidden, { headSize: 128 }),
      bias,
      outputBias: bias,
      mlpBias: false,
      headNorms: true,
      windows: qwenWindows(settings),
    });
  },
});
