/** The weights of a part, read from the checkpoint and checked against what the ops expect. */
import { SpInferError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import type { Part } from "../model/architectures/ops.ts";
import { weightsOf } from "../model/architectures/survey.ts";
import type { LoadedPart } from "./backend.ts";
import type { DenseTensor, WeightSource } from "./engine.ts";

/**
 * Throws E_ARCH_TENSOR for a missing tensor and E_ARCH_SHAPE for one of another shape, before any
 * is read. `replaced` is by checkpoint names; its arrays are copied.
 */
export async function loadWeights(
  part: Part,
  source: WeightSource,
  replaced: ReadonlyMap<string, DenseTensor> = new Map(),
): Promise<LoadedPart> {
  const slots = weightsOf(part);
  for (const { name, shape } of slots) checkTensor(source, part.prefix + name, shape);
  const weights = new Map<string, DenseTensor>();
  for (const { name, shape } of slots) {
    const full = part.prefix + name;
    const given = replaced.get(full);
    if (given !== undefined) checkShape(full, given.shape, shape);
    const tensor = given === undefined ? await source.read(full) : given;
    const values = given === undefined ? tensor.values : tensor.values.slice();
    weights.set(name, { shape, values });
  }
  return { part, slots, weights };
}

function checkTensor(source: WeightSource, name: string, shape: readonly number[]): void {
  if (!source.has(name)) {
    throw new SpInferError("E_ARCH_TENSOR", `the model has no tensor "${printable(name)}"`, {
      tensor: name,
      expected: `a tensor of shape [${shape.join(", ")}]`,
      hint: "the checkpoint is not whole, or config.json belongs to another model",
    });
  }
  checkShape(name, source.shapeOf(name), shape);
}

function checkShape(name: string, found: readonly number[], expected: readonly number[]): void {
  if (found.join() === expected.join()) return;
  throw new SpInferError(
    "E_ARCH_SHAPE",
    `${printable(name)} has shape [${found.join(", ")}], expected [${expected.join(", ")}]`,
    {
      tensor: name,
      found: `shape [${found.join(", ")}]`,
      expected: `[${expected.join(", ")}] by config.json`,
      hint: "take the config.json that belongs to these weights",
    },
  );
}
