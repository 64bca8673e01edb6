/**
 * From an opened archive and a recipe to a plan. Pure: looks at names, shapes and config.json only,
 * so that a 70B model is planned in a moment, and every fault that can be seen beforehand is.
 */
import type { Archive, TensorEntry } from "../../core/archive.ts";
import { storedBytes } from "../../core/archive.ts";
import {
  denseBytes,
  elementCount,
  isDtype,
  isHalfDtype,
  isWeightDtype,
  type WeightDtype,
} from "../../core/dtype.ts";
import { SpInferError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import {
  checkConfigShapes,
  describeTensors,
  isQuantizedConfig,
  type TensorRole,
} from "../../model/index.ts";
import type { Recipe } from "../recipe/index.ts";
import { estimateMemory, threadsThatFit } from "./memory.ts";
import { HEADER_LINE_BYTES, packedBytes } from "./packedSize.ts";
import { type Choice, configurePruner, selectTensors } from "./selection.ts";
import { planShards } from "./shards.ts";
import type { Plan, PlanTotals, TensorStep } from "./steps.ts";

export interface PlanOptions {
  /** Worker threads at most. */
  readonly threads: number;
  readonly limits: Limits;
}

/** Measured on two cores: hashing and encoding beside a disk; only the time estimate uses it. */
const BYTES_PER_MS_AND_THREAD = 250_000;

/** Throws for whatever would make the run fail later: see the codes of src/core/errorCodes.ts. */
export function makePlan(archive: Archive, recipe: Recipe, options: PlanOptions): Plan {
  if (recipe.prune?.target !== undefined) {
    throw new SpInferError("E_INTERNAL", "the recipe has a target: aimRecipe finds its sparsity");
  }
  checkArchive(archive, recipe);
  const roles = describeTensors(archive.entries, archive.config);
  const choices =
    recipe.prune === undefined ? undefined : selectTensors(archive, roles, recipe.prune);
  const dtype = outputDtype(archive, roles, recipe);
  const steps = archive.entries.map((entry, i) =>
    planTensor(entry, roles[i]!, choices?.[i], { archive, recipe, dtype, limits: options.limits }),
  );
  const totals = sumUp(steps);
  const shards = planShards(steps, recipe.convert.maxShardBytes);
  const threads = threadsThatFit(steps, options.threads);
  const hashedBytes = totals.bytesIn + 2 * totals.bytesOut;
  return {
    model: archive.label,
    format: archive.format,
    to: recipe.convert.to,
    dtype,
    steps,
    shards,
    totals,
    memoryBytes: estimateMemory(steps, threads),
    diskBytes:
      totals.bytesOutMost +
      shards.reduce((sum, { headerBytes }) => sum + headerBytes + 8, 0) +
      sideBytes(archive),
    estimatedMs: Math.ceil(hashedBytes / (BYTES_PER_MS_AND_THREAD * Math.max(1, threads))),
    threads,
    warnings: [
      ...archive.warnings,
      ...dtypeWarnings(steps),
      ...expertWarnings(steps, roles),
      ...packingWarnings(recipe, dtype),
    ],
  };
}

function checkArchive(archive: Archive, recipe: Recipe): void {
  const method = isQuantizedConfig(archive.config);
  if (method !== undefined && archive.format === "safetensors") {
    throw new SpInferError(
      "E_QUANTIZED_INPUT",
      `${archive.label}: the model is already quantized with ${method}`,
      {
        path: archive.label,
        expected: "a checkpoint with fp16, bf16 or fp32 weights",
        hint: "use the original checkpoint that this one was made from",
      },
    );
  }
  if (
    archive.format === "tile-bitmap" &&
    recipe.prune === undefined &&
    recipe.convert.to === "tile-bitmap"
  ) {
    throw new SpInferError("E_USAGE", `${archive.label}: it is a tile-bitmap checkpoint already`, {
      path: archive.label,
      hint: "to get dense weights back: spinfer convert MODEL -o OUT --to dense",
    });
  }
  checkConfigShapes(archive.config, archive.entries);
}

/** The dtype asked for, else the 16-bit type of the source's matrices, else fp16. */
function outputDtype(archive: Archive, roles: readonly TensorRole[], recipe: Recipe): WeightDtype {
  const asked = recipe.convert.dtype;
  if (asked !== undefined) return asked;
  let half: WeightDtype | undefined;
  for (const [i, { dtype }] of archive.entries.entries()) {
    if (!isHalfDtype(dtype)) continue;
    half ??= dtype;
    if (roles[i]!.role === "linear") return dtype;
  }
  return half ?? "F16";
}

function dtypeWarnings(steps: readonly TensorStep[]): string[] {
  const changed = steps.filter(({ source, dtype }) => source.dtype !== dtype);
  return [
    ...new Set(changed.map(({ source, dtype }) => `${source.dtype} weights become ${dtype}`)),
  ];
}

/** Stacked experts whose output axis nothing proves are left alone, which a user should know. */
function expertWarnings(steps: readonly TensorStep[], roles: readonly TensorRole[]): string[] {
  const left = steps.filter((_, i) => roles[i]!.role === "other" && roles[i]!.experts3d);
  if (left.length === 0) return [];
  return [
    `${left.length} tensors of stacked experts stay as they are, such as ${left[0]!.name}: neither config.json nor shapes tell which axis is the output`,
  ];
}

function hasHalves(archive: Archive): boolean {
  return archive.entries.some(({ dtype }) => isHalfDtype(dtype));
}

function packingWarnings(recipe: Recipe, dtype: WeightDtype): string[] {
  if (recipe.convert.to !== "tile-bitmap" || dtype !== "F32") return [];
  return ["tile-bitmap holds 16-bit values: with dtype f32 all weights stay dense"];
}

interface Circumstances {
  readonly archive: Archive;
  readonly recipe: Recipe;
  readonly dtype: WeightDtype;
  readonly limits: Limits;
}

/** `choice` is absent when nothing is pruned. */
function planTensor(
  source: TensorEntry,
  role: TensorRole,
  choice: Choice | undefined,
  about: Circumstances,
): TensorStep {
  const { recipe } = about;
  const { name, shape } = source;
  const dtype = stepDtype(source, about);
  const dense = denseSize(source, dtype, about);
  const matrix = matrixOf(shape, role);
  const base = {
    name,
    role: role.role,
    source,
    shape,
    dtype,
    orientation: role.orientation,
    matrices: role.experts3d ? shape[0]! : 1,
    ...(matrix === undefined ? {} : { matrix }),
    bytesIn: storedBytes(source),
  };
  const whole = { most: dense, expected: dense };
  const unchanged = source.encoding === undefined && source.dtype === dtype;
  const kept = choice === undefined || choice.kind === "keep";
  const reason = choice?.kind === "keep" ? choice.reason : undefined;
  if (kept && !mayPack(source, role, recipe)) {
    return {
      ...base,
      store: "dense",
      copy: unchanged,
      bytesOut: whole,
      ...(reason === undefined ? {} : { reason }),
    };
  }
  checkMatrix(source, role, recipe);
  const settings = choice?.kind === "prune" ? choice.settings : undefined;
  const size = settings === undefined ? undefined : prunedSize(matrix!, settings, dtype, dense);
  const pruned = settings === undefined ? {} : { prune: settings };
  const why = whyDense(recipe, dtype, size, dense);
  if (recipe.convert.to === "dense" || why !== undefined) {
    return {
      ...base,
      ...pruned,
      store: "dense",
      ...(why === undefined ? {} : { reason: why }),
      copy: kept && unchanged,
      bytesOut: whole,
    };
  }
  // it stays dense when packed it would not be smaller; without pruning nothing is known of the zeros
  const bytesOut = size ?? whole;
  return {
    ...base,
    ...pruned,
    store: "auto",
    copy: false,
    bytesOut: {
      most: bytesOut.most + HEADER_LINE_BYTES < dense ? bytesOut.most : dense,
      expected: bytesOut.expected,
    },
  };
}

/** What is packed without being pruned: what was packed before and, when converting, linear weights. */
function mayPack(source: TensorEntry, role: TensorRole, recipe: Recipe): boolean {
  if (recipe.convert.to !== "tile-bitmap") return false;
  if (source.stored === "tile-bitmap") return true;
  return recipe.prune === undefined && role.role === "linear" && !role.experts3d;
}

/**
 * With --dtype all weights get that one. Else 16-bit weights keep their own, and so do fp32 ones
 * beside them; where all are fp32 they become fp16, which tile-bitmap can hold.
 */
function stepDtype(source: TensorEntry, { archive, recipe, dtype }: Circumstances): string {
  if (!isWeightDtype(source.dtype)) return source.dtype;
  if (recipe.convert.dtype !== undefined) return dtype;
  return hasHalves(archive) ? source.dtype : dtype;
}

function denseSize(source: TensorEntry, dtype: string, { archive, limits }: Circumstances): number {
  const bytes = isDtype(dtype) ? denseBytes(dtype, source.shape) : storedBytes(source);
  if (bytes !== undefined && bytes <= limits.denseBytes) return bytes;
  throw new SpInferError(
    "E_LIMIT_DENSE",
    `${archive.label}: tensor "${source.name}" is too large when dense`,
    {
      path: archive.label,
      tensor: source.name,
      found: `shape [${source.shape.join(", ")}], ${bytes ?? "more than 2^53"} bytes`,
      expected: `at most ${limits.denseBytes} bytes; raise it with --limit denseBytes=…`,
    },
  );
}

function matrixOf(
  shape: readonly number[],
  role: TensorRole,
): { rows: number; cols: number } | undefined {
  const [first, second] = shape.slice(-2);
  if (first === undefined || second === undefined || (shape.length > 2 && !role.experts3d))
    return undefined;
  return role.orientation === "in-out"
    ? { rows: second, cols: first }
    : { rows: first, cols: second };
}

function checkMatrix(source: TensorEntry, role: TensorRole, recipe: Recipe): void {
  const { name, shape } = source;
  if (!isWeightDtype(source.dtype)) {
    throw new SpInferError(
      "E_DTYPE_UNSUPPORTED",
      `tensor "${name}" of dtype ${source.dtype} cannot be pruned`,
      {
        tensor: name,
        expected: "F16, BF16 or F32",
        hint: `leave it as it is with --ignore ${name}`,
      },
    );
  }
  if (role.experts3d && recipe.convert.to === "tile-bitmap") {
    throw new SpInferError(
      "E_SHAPE_UNSUPPORTED",
      `tensor "${name}" stacks ${shape[0]} experts in one tensor, which tile-bitmap cannot hold`,
      {
        tensor: name,
        found: `shape [${shape.join(", ")}]`,
        hint: "prune it with --to dense (expert by expert), or leave it as it is with --ignore 're:.*experts.*'",
      },
    );
  }
  if ((elementCount(shape) ?? 0) === 0) {
    throw new SpInferError("E_SHAPE_UNSUPPORTED", `tensor "${name}" is empty`, {
      tensor: name,
      found: `shape [${shape.join(", ")}]`,
      hint: `leave it as it is with --ignore ${name}`,
    });
  }
}

interface Size {
  readonly most: number;
  readonly expected: number;
}

function prunedSize(
  { rows, cols }: { rows: number; cols: number },
  settings: Parameters<typeof configurePruner>[0],
  dtype: string,
  dense: number,
): Size {
  if (!isHalfDtype(dtype)) return { most: dense, expected: dense };
  const { most, expected } = configurePruner(settings).expectNonzeros(rows, cols);
  return {
    most: packedBytes(rows, cols, most).most,
    expected: packedBytes(rows, cols, expected).expected,
  };
}

function whyDense(
  recipe: Recipe,
  dtype: string,
  size: Size | undefined,
  dense: number,
): string | undefined {
  if (recipe.convert.to === "dense") return undefined;
  if (!isHalfDtype(dtype)) return `tile-bitmap holds 16-bit values, not ${dtype}`;
  if (size !== undefined && size.expected >= dense) return "packed it would not be smaller";
  return undefined;
}

function sumUp(steps: readonly TensorStep[]): PlanTotals {
  let [pruned, packed, parameters, prunedParameters, zeros] = [0, 0, 0, 0, 0];
  let [bytesIn, bytesOut, bytesOutMost] = [0, 0, 0];
  for (const step of steps) {
    const count = elementCount(step.shape) ?? 0;
    parameters += count;
    bytesIn += step.bytesIn;
    bytesOut += step.bytesOut.expected;
    bytesOutMost += step.bytesOut.most;
    if (step.store === "auto") packed++;
    if (step.prune === undefined || step.matrix === undefined) continue;
    const { rows, cols } = step.matrix;
    pruned++;
    prunedParameters += count;
    zeros +=
      count - step.matrices * configurePruner(step.prune).expectNonzeros(rows, cols).expected;
  }
  const sparsity = prunedParameters === 0 ? 0 : zeros / prunedParameters;
  return {
    tensors: steps.length,
    pruned,
    packed,
    parameters,
    prunedParameters,
    sparsity,
    bytesIn,
    bytesOut,
    bytesOutMost,
  };
}

function sideBytes(archive: Archive): number {
  return archive.sideFiles.reduce(
    (sum, { content }) => sum + (content.from === "bytes" ? content.bytes.length : 0),
    0,
  );
}
