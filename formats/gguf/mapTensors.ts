/**
 * From the tensors of a GGUF to those of a Hugging Face folder: names, shapes, and what has to be
 * undone, by the table of the architecture. Nothing is guessed: a tensor that the table does not
 * know, one that is missing, and one of another shape than the metadata says are errors.
 */
import { SpInferError } from "../../src/core/errors.ts";
import { printable } from "../../src/core/text.ts";
import type {
  Architecture,
  Dim,
  Group,
  Table,
  TensorRule,
} from "./architectures/defineArchitecture.ts";
import type { GgufTensor } from "./header.ts";
import type { Sizes } from "./sizes.ts";

export interface MappedTensor<Tensor extends GgufTensor = GgufTensor> {
  readonly tensor: Tensor;
  readonly name: string;
  /** Row-major. */
  readonly shape: readonly number[];
  readonly permuteHeads?: number;
  readonly subtractOne?: true;
}

export interface Mapping<Tensor extends GgufTensor> {
  readonly tensors: readonly MappedTensor<Tensor>[];
  readonly groups: ReadonlySet<Group>;
  readonly tables: readonly { readonly table: Table; readonly tensor: Tensor }[];
}

/** Throws E_GGUF_TENSOR. */
export function mapTensors<Tensor extends GgufTensor>(
  architecture: Architecture,
  sizes: Sizes,
  tensors: readonly Tensor[],
  label: string,
): Mapping<Tensor> {
  const rules = new Map(architecture.tensors.map((rule) => [rule.gguf, rule]));
  const mapped: MappedTensor<Tensor>[] = [];
  const tables: { table: Table; tensor: Tensor }[] = [];
  const groups = new Set<Group>();
  for (const tensor of tensors) {
    const { template, layer } = templateOf(tensor.name);
    const rule = rules.get(template);
    const table = architecture.tables.find((name) => name === tensor.name);
    if (table !== undefined) {
      checkTable(tensor, sizes, label);
      tables.push({ table, tensor });
    } else if (rule !== undefined && layer < sizes.layers) {
      if (rule.group !== undefined) groups.add(rule.group);
      mapped.push(mapTensor(rule, layer, sizes, tensor, label));
    } else if (!architecture.ignored.includes(template)) {
      throw tensorError(label, tensor.name, `is not one of ${architecture.name}`, {
        hint: "use the model's original safetensors",
      });
    }
  }
  checkComplete(architecture, sizes, new Set(tensors.map(({ name }) => name)), groups, label);
  return { tensors: mapped, groups, tables };
}

/** "blk.12.attn_q.weight" → "blk.{}.attn_q.weight" and 12. */
function templateOf(name: string): { template: string; layer: number } {
  const match = /^blk\.(0|[1-9]\d{0,8})\.(.+)$/s.exec(name);
  if (match === null) return { template: name, layer: 0 };
  return { template: `blk.{}.${match[2]}`, layer: Number(match[1]) };
}

function mapTensor<Tensor extends GgufTensor>(
  rule: TensorRule,
  layer: number,
  sizes: Sizes,
  tensor: Tensor,
  label: string,
): MappedTensor<Tensor> {
  const shape = rule.shape.map((dim) => DIMS[dim](sizes));
  const found = [...tensor.dims].reverse();
  if (found.length !== shape.length || found.some((size, i) => size !== shape[i])) {
    throw tensorError(label, tensor.name, `has the shape [${found.join(", ")}]`, {
      expected: `[${shape.join(", ")}] by the metadata`,
    });
  }
  return {
    tensor,
    name: rule.hf.replace("{}", String(layer)),
    shape,
    ...(rule.permute === undefined ? {} : { permuteHeads: sizes[rule.permute] }),
    ...(rule.subtractOne === undefined ? {} : { subtractOne: true }),
  };
}

const DIMS: { readonly [Name in Dim]: (sizes: Sizes) => number } = {
  vocab: ({ vocab }) => vocab,
  hidden: ({ hidden }) => hidden,
  ffn: ({ ffn }) => ffn,
  twoFfn: ({ ffn }) => 2 * ffn,
  q: ({ heads, headDim }) => heads * headDim,
  kv: ({ kvHeads, headDim }) => kvHeads * headDim,
  qkv: ({ heads, kvHeads, headDim }) => (heads + 2 * kvHeads) * headDim,
  headDim: ({ headDim }) => headDim,
};

function checkTable({ name, type, dims }: GgufTensor, { rotaryDims }: Sizes, label: string): void {
  if (type === "F32" && dims.length === 1 && dims[0] === rotaryDims / 2) return;
  throw tensorError(label, name, `is ${type} [${dims.join(", ")}]`, {
    expected: `F32 [${rotaryDims / 2}]`,
  });
}

function checkComplete(
  architecture: Architecture,
  sizes: Sizes,
  names: ReadonlySet<string>,
  groups: ReadonlySet<Group>,
  label: string,
): void {
  for (const { gguf, group } of architecture.tensors) {
    if (group !== undefined && !groups.has(group)) continue;
    const layers = gguf.includes("{}") ? sizes.layers : 1;
    for (let layer = 0; layer < layers; layer++) {
      const name = gguf.replace("{}", String(layer));
      if (!names.has(name)) throw tensorError(label, name, "is missing");
    }
  }
}

function tensorError(
  label: string,
  tensor: string,
  what: string,
  detail: { expected?: string; hint?: string } = {},
): SpInferError {
  return new SpInferError("E_GGUF_TENSOR", `${label}: tensor "${printable(tensor)}" ${what}`, {
    path: label,
    tensor,
    ...detail,
  });
}
