/** The sizes of a model, from the metadata of its GGUF. */
import { SpInferError } from "../../src/core/errors.ts";
import type { GgufTensor } from "./header.ts";
import type { Metadata } from "./metadata.ts";

export interface Sizes {
  readonly layers: number;
  readonly hidden: number;
  readonly ffn: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Dimensions of a head that are rotated. */
  readonly rotaryDims: number;
  readonly context: number;
  readonly vocab: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
}

/** Throws E_GGUF_METADATA, E_GGUF_TYPE, and E_GGUF_ARCH for what no config.json can say. */
export function sizesOf(arch: string, metadata: Metadata, tensors: readonly GgufTensor[]): Sizes {
  refuseUnsupported(arch, metadata);
  const size = (key: string): number => positive(metadata, `${arch}.${key}`);
  const optional = (key: string, otherwise: number): number =>
    metadata.has(`${arch}.${key}`) ? size(key) : otherwise;

  const layers = size("block_count");
  if (layers > tensors.length) {
    throw metadata.wrong(
      `${arch}.block_count`,
      `is ${layers}, but the file has ${tensors.length} tensors`,
    );
  }
  const hidden = size("embedding_length");
  const heads = size("attention.head_count");
  const headDim = optional("attention.key_length", hidden / heads);
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw metadata.wrong(`${arch}.attention.head_count`, `gives heads of ${headDim} dimensions`);
  }
  const valueDim = optional("attention.value_length", headDim);
  if (valueDim !== headDim) {
    throw metadata.wrong(`${arch}.attention.value_length`, `is ${valueDim}, expected ${headDim}`);
  }
  const rotaryDims = optional("rope.dimension_count", headDim);
  if (rotaryDims > headDim || rotaryDims % 2 !== 0 || (rotaryDims < headDim && arch !== "phi3")) {
    throw metadata.wrong(`${arch}.rope.dimension_count`, `is ${rotaryDims} of ${headDim}`);
  }
  return {
    layers,
    hidden,
    ffn: size("feed_forward_length"),
    heads,
    kvHeads: optional("attention.head_count_kv", heads),
    headDim,
    rotaryDims,
    context: size("context_length"),
    vocab: tensors.find(({ name }) => name === "token_embd.weight")?.dims[1] ?? 0,
    normEpsilon: shortestFloat(
      metadata.required(metadata.float, `${arch}.attention.layer_norm_rms_epsilon`),
    ),
    ropeTheta: shortestFloat(metadata.float(`${arch}.rope.freq_base`) ?? 10_000),
  };
}

function positive(metadata: Metadata, key: string): number {
  const value = metadata.required(metadata.count, key);
  // 2^31 keeps every product of two sizes a safe integer
  if (value < 1 || value >= 2 ** 31) throw metadata.wrong(key, `is ${value}`);
  return value;
}

/** Numbers by which some models of these names differ from what their class computes. */
const FACTORS = [
  "attention.scale",
  "attention.clamp_kqv",
  "embedding_scale",
  "residual_scale",
  "logit_scale",
];

function refuseUnsupported(arch: string, metadata: Metadata): void {
  const experts = `${arch}.expert_count`;
  const found =
    metadata.has(experts) && metadata.count(experts) !== 0
      ? experts
      : FACTORS.map((key) => `${arch}.${key}`).find((key) => metadata.has(key));
  if (found === undefined) return;
  const why = found === experts ? "it is a mixture of experts" : `it has "${found}"`;
  throw new SpInferError("E_GGUF_ARCH", `${metadata.label}: ${arch} is supported, but ${why}`, {
    path: metadata.label,
    hint: "use the model's original safetensors",
  });
}

/**
 * The shortest decimal that is `value` as a binary32: a file says 9.999999747378752e-6 where the
 * model's author wrote 1e-5.
 */
export function shortestFloat(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}
