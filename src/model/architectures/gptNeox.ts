/**
 * GPT-NeoX and Pythia: both branches read the same input; q, k and v lie in one matrix, head by
 * head; a quarter of each head is turned.
 */
import { defineArchitecture } from "./defineArchitecture.ts";
import type { Ops } from "./ops.ts";
import { attentionOf, findRoot, headWeight, layer, shareOf } from "./parts.ts";
import { readRotary, ropeSettings } from "./rotary.ts";

export const gptNeox = defineArchitecture({
  name: "gpt_neox",
  read: (settings, names) => {
    const hidden = settings.count("hidden_size");
    const heads = settings.count("num_attention_heads");
    const headSize = shareOf(settings, hidden, heads);
    const inner = settings.count("intermediate_size");
    const vocabulary = settings.count("vocab_size");
    const positions = settings.count("max_position_embeddings", 2048);
    const epsilon = settings.positive("layer_norm_eps", 1e-5);
    const activation = settings.activation("hidden_act", "gelu");
    const bias = settings.flag("attention_bias", true);
    const parallel = settings.flag("use_parallel_residual", true);
    const table = readRotary(ropeSettings(settings), settings, {
      headSize,
      positions,
      theta: settings.positive("rotary_emb_base", 10_000),
      share: settings.positive("rotary_pct", 0.25),
      partial: true,
    });
    const root = findRoot(names, "embed_in.weight", ["gpt_neox.", ""]);
    const head = headWeight(settings, names, "embed_out.weight", `${root}embed_in.weight`, false);

    const norm = <Tensor>(ops: Ops<Tensor>, tensor: Tensor, name: string): Tensor =>
      ops.layerNorm(tensor, {
        weight: `${name}.weight`,
        bias: `${name}.bias`,
        size: hidden,
        epsilon,
      });
    const attention = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const fused = ops.linear(
        tensor,
        layer("attention.query_key_value", hidden, 3 * hidden, bias),
      );
      const part = (index: number) =>
        ops.columns(fused, {
          groups: heads,
          width: 3 * headSize,
          begin: index * headSize,
          end: (index + 1) * headSize,
        });
      const turn = (turned: Tensor) => ops.rotary(turned, { headSize, table });
      const spec = attentionOf({ heads, keyHeads: heads, headSize, scale: headSize ** -0.5 });
      const mixed = ops.attention(turn(part(0)), turn(part(1)), part(2), spec);
      return ops.linear(mixed, layer("attention.dense", hidden, hidden, bias));
    };
    const mlp = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const wide = ops.linear(tensor, layer("mlp.dense_h_to_4h", hidden, inner, true));
      return ops.linear(
        ops.activate(wide, activation),
        layer("mlp.dense_4h_to_h", inner, hidden, true),
      );
    };
    return {
      blocks: settings.count("num_hidden_layers"),
      hidden,
      vocabulary,
      positions,
      positionTable: false,
      embed: {
        prefix: root,
        body: (ops, ids) =>
          ops.embedding(ids, { weight: "embed_in.weight", rows: vocabulary, columns: hidden }),
      },
      block: (index) => ({
        prefix: `${root}layers.${index}.`,
        body: (ops, input) => {
          const attended = attention(ops, norm(ops, input, "input_layernorm"));
          const middle = ops.add(attended, input);
          const read = parallel ? input : middle;
          return ops.add(mlp(ops, norm(ops, read, "post_attention_layernorm")), middle);
        },
      }),
      head: {
        prefix: "",
        body: (ops, input) =>
          ops.linear(norm(ops, input, `${root}final_layer_norm`), {
            weight: head,
            inputs: hidden,
            outputs: vocabulary,
          }),
      },
    };
  },
});
