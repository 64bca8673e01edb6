/** OPT: positions from a table that begins at row 2, layer norms before or (350M) after each branch. */
import { defineArchitecture } from "./defineArchitecture.ts";
import type { Ops } from "./ops.ts";
import { attentionOf, findRoot, headWeight, layer, shareOf } from "./parts.ts";

/** Rows of the table of positions before that of position 0. */
const POSITION_OFFSET = 2;
/** torch's own, which OPT does not change. */
const EPSILON = 1e-5;

export const opt = defineArchitecture({
  name: "opt",
  read: (settings, names) => {
    const hidden = settings.count("hidden_size");
    const heads = settings.count("num_attention_heads");
    const headSize = shareOf(settings, hidden, heads);
    const inner = settings.count("ffn_dim");
    const vocabulary = settings.count("vocab_size");
    const positions = settings.count("max_position_embeddings", 2048);
    const activation = settings.activation("activation_function", "relu");
    const bias = settings.flag("enable_bias", true);
    const affine = settings.flag("layer_norm_elementwise_affine", true);
    const normFirst = settings.flag("do_layer_norm_before", true);
    const lastNorm = normFirst && !settings.flag("_remove_final_layer_norm", false);
    const narrow = settings.count("word_embed_proj_dim", hidden);
    const root = findRoot(names, "embed_tokens.weight", ["model.decoder.", "decoder.", ""]);
    const head = headWeight(settings, names, "lm_head.weight", `${root}embed_tokens.weight`, true);

    const norm = <Tensor>(ops: Ops<Tensor>, tensor: Tensor, name: string): Tensor =>
      ops.layerNorm(tensor, {
        weight: affine ? `${name}.weight` : undefined,
        bias: affine ? `${name}.bias` : undefined,
        size: hidden,
        epsilon: EPSILON,
      });
    const attention = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const project = (name: string) =>
        ops.linear(tensor, layer(`self_attn.${name}`, hidden, hidden, bias));
      const spec = attentionOf({ heads, keyHeads: heads, headSize, scale: headSize ** -0.5 });
      const mixed = ops.attention(project("q_proj"), project("k_proj"), project("v_proj"), spec);
      return ops.linear(mixed, layer("self_attn.out_proj", hidden, hidden, bias));
    };
    const mlp = <Tensor>(ops: Ops<Tensor>, tensor: Tensor): Tensor => {
      const wide = ops.activate(ops.linear(tensor, layer("fc1", hidden, inner, bias)), activation);
      return ops.linear(wide, layer("fc2", inner, hidden, bias));
    };
    /** input + branch(input), with the norm on the way in or on the way out. */
    const residual = <Tensor>(
      ops: Ops<Tensor>,
      input: Tensor,
      name: string,
      branch: (tensor: Tensor) => Tensor,
    ): Tensor => {
      if (normFirst) return ops.add(input, branch(norm(ops, input, name)));
      return norm(ops, ops.add(input, branch(input)), name);
    };

    return {
      blocks: settings.count("num_hidden_layers"),
      hidden,
      vocabulary,
      positions,
      positionTable: true,
      embed: {
        prefix: root,
        body: (ops, ids) => {
          const found = ops.embedding(ids, {
            weight: "embed_tokens.weight",
            rows: vocabulary,
            columns: narrow,
          });
          const wide =
            narrow === hidden
              ? found
              : ops.linear(found, layer("project_in", narrow, hidden, false));
          const table = {
            weight: "embed_positions.weight",
            rows: positions + POSITION_OFFSET,
            columns: hidden,
            offset: POSITION_OFFSET,
          };
          return ops.add(wide, ops.positions(table));
        },
      },
      block: (index) => ({
        prefix: `${root}layers.${index}.`,
        body: (ops, input) => {
          const middle = residual(ops, input, "self_attn_layer_norm", (tensor) =>
            attention(ops, tensor),
          );
          return residual(ops, middle, "final_layer_norm", (tensor) => mlp(ops, tensor));
        },
      }),
      head: {
        prefix: "",
        body: (ops, input) => {
          const normed = lastNorm ? norm(ops, input, `${root}final_layer_norm`) : input;
          const thin =
            narrow === hidden
              ? normed
              : ops.linear(normed, layer(`${root}project_out`, hidden, narrow, false));
          return ops.linear(thin, { weight: head, inputs: narrow, outputs: vocabulary });
        },
      },
    };
  },
});
