/** A small random model in memory. */
import type { HalfDtype } from "../../src/core/dtype.ts";
import { castFloats, widenHalves } from "../../src/core/half.ts";
import type { DenseTensor, HalfTensor, WeightSource } from "../../src/engine/engine.ts";
import { readDecoder } from "../../src/model/architectures/index.ts";
import { weightsOf } from "../../src/model/architectures/survey.ts";
import { createRandom } from "../helpers/random.ts";

export const CONFIG = {
  model_type: "llama",
  vocab_size: 50,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};

export const GPT2_CONFIG = {
  model_type: "gpt2",
  vocab_size: 50,
  n_embd: 32,
  n_layer: 1,
  n_head: 4,
  n_positions: 16,
};

export function randomFloats(count: number, seed: number, size = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => (random.next() * 2 - 1) * size);
}

/** Every weight that the config asks for, and ways of spoiling them. */
export function randomModel(config: Readonly<Record<string, unknown>>): {
  readonly tensors: Map<string, DenseTensor>;
  readonly source: WeightSource;
} {
  const tensors = new Map<string, DenseTensor>();
  const decoder = readDecoder(config, { has: () => true });
  const blocks = Array.from({ length: decoder.blocks }, (_, index) => decoder.block(index));
  for (const part of [decoder.embed, ...blocks, decoder.head]) {
    for (const { name, shape } of weightsOf(part)) {
      const count = shape.reduce((product, size) => product * size, 1);
      const size = shape.length === 1 ? 1 : 2 / Math.sqrt(shape[1]!);
      tensors.set(part.prefix + name, {
        shape,
        values: randomFloats(count, tensors.size + 1, size),
      });
    }
  }
  return { tensors, source: sourceOf(tensors) };
}

export function sourceOf(tensors: ReadonlyMap<string, DenseTensor>): WeightSource {
  return {
    has: (name) => tensors.has(name),
    shapeOf: (name) => tensors.get(name)!.shape,
    read: async (name) => {
      const { shape, values } = tensors.get(name)!;
      return { shape, values: values.slice() };
    },
  };
}

/** A model of 16-bit values: as float32, and with its matrices as they would be stored. */
export function halfModel(
  config: Readonly<Record<string, unknown>>,
  dtype: HalfDtype,
): { readonly wide: WeightSource; readonly stored: WeightSource } {
  const tensors = new Map<string, DenseTensor>();
  const halvesOf = new Map<string, Uint16Array>();
  for (const [name, { shape, values }] of randomModel(config).tensors) {
    const halves = new Uint16Array(values.length);
    castFloats(values, dtype, halves);
    const rounded = new Float32Array(values.length);
    widenHalves(halves, dtype, rounded);
    tensors.set(name, { shape, values: rounded });
    halvesOf.set(name, halves);
  }
  const wide = sourceOf(tensors);
  const readHalves = async (name: string): Promise<HalfTensor> => ({
    ...{ shape: tensors.get(name)!.shape, dtype },
    halves: halvesOf.get(name)!.slice(),
  });
  return { wide, stored: { ...wide, readHalves } };
}
