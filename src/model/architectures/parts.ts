/** Sequences of ops that many families share. */
import type { TensorNames } from "./defineArchitecture.ts";
import type {
  Activation,
  AttentionSpec,
  LinearSpec,
  Ops,
  RmsNormSpec,
  RotaryTable,
} from "./ops.ts";
import type { Settings } from "./settings.ts";

/** A layer of the checkpoint: its weight, and its bias if it has one. */
export function layer(name: string, inputs: number, outputs: number, bias: boolean): LinearSpec {
  return {
    weight: `${name}.weight`,
    bias: bias ? `${name}.bias` : undefined,
    inputs,
    outputs,
  };
}

/** Sizes of attention, by the names that Llama and its relatives use. */
export interface HeadSizes {
  readonly heads: number;
  readonly keyHeads: number;
  readonly headSize: number;
}

/** Throws E_CONFIG when heads do not divide into groups, or the hidden size not into heads. */
export function readHeads(
  settings: Settings,
  hidden: number,
  usual: { readonly keyHeads?: number; readonly headSize?: number } = {},
): HeadSizes {
  const heads = settings.count("num_attention_heads");
  const keyHeads = settings.count("num_key_value_heads", usual.keyHeads ?? heads);
  if (heads % keyHeads !== 0) {
    throw settings.wrong("num_key_value_heads", String(keyHeads), `a divisor of ${heads} heads`);
  }
  const headSize = settings.count("head_dim", usual.headSize ?? shareOf(settings, hidden, heads));
  return { heads, keyHeads, headSize };
}

/** Columns of a head where the hidden size is divided among them. Throws E_CONFIG. */
export function shareOf(settings: Settings, hidden: number, heads: number): number {
  if (hidden % heads === 0) return hidden / heads;
  throw settings.wrong(
    "num_attention_heads",
    String(heads),
    `a divisor of the hidden size ${hidden}`,
  );
}

export interface SelfAttention extends HeadSizes {
  readonly hidden: number;
  readonly rotary: RotaryTable;
  readonly scale: number;
  readonly window?: number | undefined;
  readonly softcap?: number | undefined;
  readonly bias: boolean;
  readonly outputBias: boolean;
  /** Norms of the heads of queries and keys. */
  readonly headNorm?: Omit<RmsNormSpec, "weight" | "size"> | undefined;
}

/** Attention with q, k and v in matrices of their own. */
export function selfAttention<Tensor>(
  ops: Ops<Tensor>,
  input: Tensor,
  spec: SelfAttention,
): Tensor {
  const { hidden, heads, keyHeads, headSize, headNorm } = spec;
  const project = (name: string, count: number) =>
    ops.linear(input, layer(`self_attn.${name}`, hidden, count * headSize, spec.bias));
  const normed = (tensor: Tensor, name: string) =>
    headNorm === undefined
      ? tensor
      : ops.rmsNorm(tensor, { weight: `self_attn.${name}.weight`, size: headSize, ...headNorm });
  const turn = (tensor: Tensor) => ops.rotary(tensor, { headSize, table: spec.rotary });
  const query = turn(normed(project("q_proj", heads), "q_norm"));
  const key = turn(normed(project("k_proj", keyHeads), "k_norm"));
  const mixed = ops.attention(query, key, project("v_proj", keyHeads), attentionOf(spec));
  return ops.linear(mixed, layer("self_attn.o_proj", heads * headSize, hidden, spec.outputBias));
}

export function attentionOf(spec: AttentionSpec): AttentionSpec {
  const { heads, keyHeads, headSize, scale, window, softcap } = spec;
  return { heads, keyHeads, headSize, scale, window, softcap };
}

export interface Mlp {
  readonly hidden: number;
  readonly inner: number;
  readonly activation: Activation;
  readonly bias: boolean;
}

/** down(activation(gate(x)) · up(x)) */
export function gatedMlp<Tensor>(ops: Ops<Tensor>, input: Tensor, spec: Mlp): Tensor {
  const { hidden, inner, activation, bias } = spec;
  const gate = ops.linear(input, layer("mlp.gate_proj", hidden, inner, bias));
  const up = ops.linear(input, layer("mlp.up_proj", hidden, inner, bias));
  const product = ops.multiply(ops.activate(gate, activation), up);
  return ops.linear(product, layer("mlp.down_proj", inner, hidden, bias));
}

/** Two branches, each after a norm and added to what came in. */
export function preNormBlock<Tensor>(
  ops: Ops<Tensor>,
  input: Tensor,
  norm: (tensor: Tensor, name: string) => Tensor,
  attention: (tensor: Tensor) => Tensor,
  mlp: (tensor: Tensor) => Tensor,
): Tensor {
  const middle = ops.add(input, attention(norm(input, "input_layernorm")));
  return ops.add(middle, mlp(norm(middle, "post_attention_layernorm")));
}

/** What the names of a decoder's tensors begin with: the first of `roots` under which `anchor` is. */
export function findRoot(names: TensorNames, anchor: string, roots: readonly string[]): string {
  return roots.find((root) => names.has(root + anchor)) ?? roots[0]!;
}

/** Name of the output matrix: the embedding where config.json, the family or the tensors say so. */
export function headWeight(
  settings: Settings,
  names: TensorNames,
  head: string,
  embedding: string,
  tiedByDefault: boolean,
): string {
  const stored = names.has(head);
  return settings.flag("tie_word_embeddings", tiedByDefault || !stored) ? embedding : head;
}
