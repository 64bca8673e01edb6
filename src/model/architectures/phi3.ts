/** Phi-3, 3.5 and Phi-4 mini: Llama with q, k, v in one matrix and gate and up in another. */
import { defineArchitecture } from "./defineArchitecture.ts";
import type { Ops } from "./ops.ts";
import { attentionOf, findRoot, headWeight, layer, preNormBlock, readHeads } from "./parts.ts";
import { readRotary, ropeSettings } from "./rotary.ts";

export const phi3 = defineArchitecture({
  name: "phi3",
  read: (settings, names) => {
    const hidden = settings.count("hidden_size");
    const sizes = readHeads(settings, hidden);
    const { heads, keyHeads, headSize } = sizes;
    const inner = settings.count("intermediate_size");
    const vocabulary = settings.count("vocab_size");
    const positions = settings.count("max_position_embeddings", 4096);
    const epsilon = settings.positive("rms_norm_eps", 1e-5);
    const activation = settings.activation("hidden_act", "silu");
    const window =
      settings.value("sliding_window") === undefined ? undefined : settings.count("sliding_window");
    const table = readRotary(ropeSettings(settings), settings, {
      headSize,
      positions,
      partial: true,
      types: ["default", "longrope"],
    });
    const root = findRoot(names, "embed_tokens.weight", ["model.", ""]);
    const embedding = `${root}embed_tokens.weight`;
    const head = headWeight(settings, names, "lm_head.weight", embedding, false);

    const attention = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const width = (heads + 2 * keyHeads) * headSize;
      const fused = ops.linear(tensor, layer("self_attn.qkv_proj", hidden, width, false));
      const part = (first: number, count: number) =>
        ops.columns(fused, {
          groups: 1,
          width,
          begin: first * headSize,
          end: (first + count) * headSize,
        });
      const turn = (turned: Tensor) => ops.rotary(turned, { headSize, table });
      const mixed = ops.attention(
        turn(part(0, heads)),
        turn(part(heads, keyHeads)),
        part(heads + keyHeads, keyHeads),
        attentionOf({ ...sizes, scale: headSize ** -0.5, window }),
      );
      return ops.linear(mixed, layer("self_attn.o_proj", heads * headSize, hidden, false));
    };
    const mlp = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const fused = ops.linear(tensor, layer("mlp.gate_up_proj", hidden, 2 * inner, false));
      const half = (index: number) =>
        ops.columns(fused, {
          groups: 1,
          width: 2 * inner,
          begin: index * inner,
          end: (index + 1) * inner,
        });
      const product = ops.multiply(half(1), ops.activate(half(0), activation));
      return ops.linear(product, layer("mlp.down_proj", inner, hidden, false));
    };
    return {
      blocks: settings.count("num_hidden_layers"),
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
            (tensor) => attention(ops, tensor),
            (tensor) => mlp(ops, tensor),
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
  },
});
