/** GPT-2: positions from a table, layer norms, and matrices stored inputs × outputs (Conv1D). */
import { defineArchitecture } from "./defineArchitecture.ts";
import type { LinearSpec, Ops } from "./ops.ts";
import { attentionOf, findRoot, headWeight, shareOf } from "./parts.ts";

const conv1d = (name: string, inputs: number, outputs: number): LinearSpec => ({
  weight: `${name}.weight`,
  bias: `${name}.bias`,
  inputs,
  outputs,
  layout: "in-out",
});

export const gpt2 = defineArchitecture({
  name: "gpt2",
  read: (settings, names) => {
    settings.refuse("add_cross_attention");
    const hidden = settings.count(["n_embd", "hidden_size"]);
    const heads = settings.count(["n_head", "num_attention_heads"]);
    const headSize = shareOf(settings, hidden, heads);
    const inner = settings.count("n_inner", 4 * hidden);
    const vocabulary = settings.count("vocab_size");
    const positions = settings.count(["n_positions", "max_position_embeddings"], 1024);
    const epsilon = settings.positive("layer_norm_epsilon", 1e-5);
    const activation = settings.activation("activation_function", "gelu_new");
    const scaled = settings.flag("scale_attn_weights", true);
    const byDepth = settings.flag("scale_attn_by_inverse_layer_idx", false);
    const root = findRoot(names, "wte.weight", ["transformer.", ""]);
    const embedding = `${root}wte.weight`;
    const head = headWeight(settings, names, "lm_head.weight", embedding, true);

    const norm = <Tensor>(ops: Ops<Tensor>, tensor: Tensor, name: string): Tensor =>
      ops.layerNorm(tensor, {
        weight: `${name}.weight`,
        bias: `${name}.bias`,
        size: hidden,
        epsilon,
      });
    const attention = <Tensor>(ops: Ops<Tensor>, tensor: Tensor, scale: number): Tensor => {
      const fused = ops.linear(tensor, conv1d("attn.c_attn", hidden, 3 * hidden));
      const third = (part: number) =>
        ops.columns(fused, {
          groups: 1,
          width: 3 * hidden,
          begin: part * hidden,
          end: (part + 1) * hidden,
        });
      const spec = attentionOf({ heads, keyHeads: heads, headSize, scale });
      const mixed = ops.attention(third(0), third(1), third(2), spec);
      return ops.linear(mixed, conv1d("attn.c_proj", hidden, hidden));
    };
    const mlp = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const wide = ops.activate(ops.linear(tensor, conv1d("mlp.c_fc", hidden, inner)), activation);
      return ops.linear(wide, conv1d("mlp.c_proj", inner, hidden));
    };
    return {
      blocks: settings.count(["n_layer", "num_hidden_layers"]),
      hidden,
      vocabulary,
      positions,
      positionTable: true,
      embed: {
        prefix: root,
        body: (ops, ids) =>
          ops.add(
            ops.embedding(ids, { weight: "wte.weight", rows: vocabulary, columns: hidden }),
            ops.positions({ weight: "wpe.weight", rows: positions, columns: hidden, offset: 0 }),
          ),
      },
      block: (index) => {
        const scale = (scaled ? headSize ** -0.5 : 1) / (byDepth ? index + 1 : 1);
        return {
          prefix: `${root}h.${index}.`,
          body: (ops, input) => {
            const middle = ops.add(attention(ops, norm(ops, input, "ln_1"), scale), input);
            return ops.add(mlp(ops, norm(ops, middle, "ln_2")), middle);
          },
        };
      },
      head: {
        prefix: "",
        body: (ops, input) =>
          ops.linear(norm(ops, input, `${root}ln_f`), {
            weight: head,
            inputs: hidden,
            outputs: vocabulary,
          }),
      },
    };
  },
});
