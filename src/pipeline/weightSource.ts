/** Where an engine gets its weights: any opened model, whatever its format. */
import type { TensorEntry } from "../core/archive.ts";
import { type HalfDtype, isHalfDtype } from "../core/dtype.ts";
import { SpInferError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import type { DenseTensor, HalfTensor, WeightSource } from "../engine/engine.ts";
import { closeFiles, readInto } from "../io/openFile.ts";
import type { OpenedModel } from "./openModel.ts";
import { readTensor } from "./readTensor.ts";
import { selectKernels } from "./work/accelerate.ts";

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
      const entry = entryOf(name);
      const { dtype, shape } = entry;
      if (isHalfDtype(dtype) && entry.encoding === undefined)
        return { shape, values: widenStored(model, entry, dtype) };
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
      selectKernels().widen(halvesOf(bytes), dtype, values);
      return { shape, values };
    },
    async readHalves(name): Promise<HalfTensor | undefined> {
      const { dtype, shape } = entryOf(name);
      if (!isHalfDtype(dtype)) return undefined;
      return { shape, dtype, halves: halvesOf(readTensor(model, name).bytes) };
    },
  };
}

/** Bytes that are read and widened at once: they stay in the cache, and are not made room for. */
const PIECE = 1 << 18;
const piece = new Uint8Array(PIECE);

/** A tensor that is stored as it is, straight from its file. */
function widenStored(
  { pathOf }: OpenedModel,
  { extents }: TensorEntry,
  dtype: HalfDtype,
): Float32Array {
  const { file, begin, end } = extents[0]!;
  const values = new Float32Array((end - begin) / 2);
  const { widen } = selectKernels();
  try {
    for (let at = begin; at < end; at += PIECE) {
      const bytes = piece.subarray(0, Math.min(PIECE, end - at));
      readInto(pathOf(file), at, bytes);
      const first = (at - begin) / 2;
      const halves = new Uint16Array(piece.buffer, 0, bytes.length / 2);
      widen(halves, dtype, values.subarray(first, first + halves.length));
    }
  } finally {
    closeFiles();
  }
  return values;
}

/** An array of its own, which whoever reads it may give away. */
function floatsOf(bytes: Uint8Array): Float32Array {
  const isWhole = bytes.length === bytes.buffer.byteLength;
  return new Float32Array(isWhole ? bytes.buffer : bytes.slice().buffer);
}

function halvesOf(bytes: Uint8Array): Uint16Array {
  const whole = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(whole.buffer, whole.byteOffset, whole.length / 2);
}
