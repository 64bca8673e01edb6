/** Where an engine gets its weights: any opened model, whatever its format. */
import { isHalfDtype } from "../core/dtype.ts";
import { SpInferError } from "../core/errors.ts";
import { widenHalves } from "../core/half.ts";
import { printable } from "../core/text.ts";
import type { DenseTensor, WeightSource } from "../engine/engine.ts";
import type { OpenedModel } from "./openModel.ts";
import { readTensor } from "./readTensor.ts";

/**
 * Tensors of a model as float32: packed and quantised ones are decoded, 16-bit ones widened, one
 * tensor at a time. Nothing is kept: reading twice is reading twice.
 */
export function weightSource(model: OpenedModel): WeightSource {
  const entries = new Map(model.archive.entries.map((entry) => [entry.name, entry]));
  const entryOf = (name: string) => {
    const entry = entries.get(name);
    if (entry !== undefined) return entry;
    throw new SpInferError(
      "E_ARCH_TENSOR",
      `${model.archive.label}: there is no tensor "${printable(name)}"`,
      { tensor: name },
    );
  };
  return {
    has: (name) => entries.has(name),
    shapeOf: (name) => entryOf(name).shape,
    async read(name): Promise<DenseTensor> {
      const { dtype, shape } = entryOf(name);
      const { bytes } = readTensor(model, name);
      if (dtype === "F32") return { shape, values: floatsOf(bytes) };
      if (!isHalfDtype(dtype)) {
        throw new SpInferError(
          "E_DTYPE_UNSUPPORTED",
          `${model.archive.label}: ${printable(name)} is ${printable(dtype)}`,
          { tensor: name, found: dtype, expected: "F32, F16 or BF16 to run the model" },
        );
      }
      const values = new Float32Array(bytes.length / 2);
      widenHalves(aligned(bytes, 2, Uint16Array), dtype, values);
      return { shape, values };
    },
  };
}

/** An array of its own, which whoever reads it may give away. */
function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

function aligned(bytes: Uint8Array, width: number, View: typeof Uint16Array): Uint16Array {
  const whole = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return new View(whole.buffer, whole.byteOffset, whole.length / width);
}
