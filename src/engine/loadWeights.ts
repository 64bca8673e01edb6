/** The weights of a part, read from the checkpoint and checked against what the ops expect. */
import { SpInferError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import type { Part } from "../model/architectures/ops.ts";
import { weightsOf } from "../model/architectures/survey.ts";
import type { LoadedPart } from "./backend.ts";
import type { DenseTensor, HalfTensor, WeightSource } from "./engine.ts";

/**
 * Throws E_ARCH_TENSOR for a missing tensor and E_ARCH_SHAPE for one of another shape, before any
 * is read. `replaced` is by checkpoint names; its arrays are copied. With `takesHalves` matrices that
 * are stored in 16 bits stay so.
 */
export async function loadWeights(
  part: Part,
  source: WeightSource,
  {
    replaced = new Map(),
    takesHalves = false,
  }: {
    readonly replaced?: ReadonlyMap<string, DenseTensor> | undefined;
    readonly takesHalves?: boolean | undefined;
  } = {},
): Promise<LoadedPart> {
  const slots = weightsOf(part);
  for (const { name, shape } of slots) checkTensor(source, part.prefix + name, shape);
  const known = new Set(slots.map(({ name }) => part.prefix + name));
  for (const name of replaced.keys()) {
    if (known.has(name)) continue;
    throw new SpInferError("E_ARCH_TENSOR", `${printable(name)} is no weight of this block`, {
      tensor: name,
      expected: `one of ${[...known].join(", ")}`,
    });
  }
  const weights = new Map<string, DenseTensor>();
  const halves = new Map<string, HalfTensor>();
  for (const { name, shape } of slots) {
    const full = part.prefix + name;
    const given = replaced.get(full);
    if (given !== undefined) {
      checkShape(full, given.shape, shape);
      checkCount(full, given.values.length, shape);
      weights.set(name, { shape, values: given.values.slice() });
      continue;
    }
    const stored = takesHalves && shape.length === 2 ? await source.readHalves?.(full) : undefined;
    if (stored !== undefined) {
      checkCount(full, stored.halves.length, shape);
      halves.set(name, stored);
      continue;
    }
    const { values } = await source.read(full);
    checkCount(full, values.length, shape);
    weights.set(name, { shape, values });
  }
  return { part, slots, weights, halves };
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

/** What a library is handed must be as long as it is told: it reads as far. */
function checkCount(name: string, found: number, shape: readonly number[]): void {
  const expected = shape.reduce((product, size) => product * size, 1);
  if (found === expected) return;
  throw new SpInferError(
    "E_ARCH_SHAPE",
    `${printable(name)} has ${found} values, not ${expected}`,
    {
      tensor: name,
      found: `${found} values`,
      expected: `${expected} values, of shape [${shape.join(", ")}]`,
    },
  );
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
