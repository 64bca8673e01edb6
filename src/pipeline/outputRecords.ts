/** What an output says of itself: config.json, recipe, shard index, manifest. Pure. */

import type { Archive } from "../core/archive.ts";
import { isHalfDtype } from "../core/dtype.ts";
import { VERSION } from "../core/version.ts";
import { modelConfigText } from "./configText.ts";
import type { FileRecord, Manifest, ManifestTensor } from "./manifest.ts";
import { weightPacker } from "./plan/packedSize.ts";
import type { Plan, TensorStep } from "./plan/steps.ts";
import { type Recipe, recipeToYaml } from "./recipe/index.ts";
import type { TensorRecord, WrittenShard } from "./writeShard.ts";

/** What was asked for, without the places where it was done: two runs record the same. */
export function recordedRecipe(recipe: Recipe): string {
  const { model: _, output: __, calibration, evaluation, ...rest } = recipe;
  return recipeToYaml({
    ...rest,
    ...(calibration === undefined ? {} : { calibration: withoutPlace(calibration) }),
    ...(evaluation === undefined ? {} : { evaluation: withoutPlace(evaluation) }),
  });
}

function withoutPlace<Part extends { readonly data?: string }>(part: Part): Omit<Part, "data"> {
  const { data: _, ...rest } = part;
  return rest;
}

/** The text of config.json; undefined when the source had none and none is needed. */
export function configOf(
  archive: Archive,
  { dtype, to, steps }: Plan,
  shards: readonly WrittenShard[],
): string | undefined {
  if (archive.config === undefined && to === "dense") return undefined;
  if (to === "dense" || !isHalfDtype(dtype)) return modelConfigText(archive, dtype, undefined);
  const packed = shards.flatMap(({ records }) => records).filter(({ kind }) => kind === "packed");
  const packedNames = new Set(packed.map(({ tensor }) => tensor));
  const kept = steps.filter(
    ({ name, matrix, role }) => matrix !== undefined && role !== "norm" && !packedNames.has(name),
  );
  const quantization = weightPacker().describe({
    dtype,
    sparsity: sparsityOf(packed),
    keptModules: kept.map(({ name }) => name.replace(/\.weight$/, "")),
    version: VERSION,
  });
  return modelConfigText(archive, dtype, quantization);
}

/** model.safetensors.index.json. */
export function indexOf(shards: readonly WrittenShard[]): Uint8Array {
  const placed = shards.flatMap(({ file, records }) =>
    records.flatMap((record) => record.placed.map((part) => ({ file, ...part }))),
  );
  const total = placed.reduce((sum, { begin, end }) => sum + end - begin, 0);
  const map = placed
    .map(({ name, file }) => [name, file] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
  return new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`);
}

/** Everything that a manifest tells of. */
export interface ManifestFacts {
  readonly plan: Plan;
  readonly recipe: Recipe;
  readonly source: Manifest["source"];
  /** All files of the output but the manifest. */
  readonly files: readonly FileRecord[];
  readonly shards: readonly WrittenShard[];
  readonly statistics: Manifest["statistics"];
  readonly search: Manifest["search"];
}

export function manifestOf({
  plan,
  recipe,
  source,
  files,
  shards,
  statistics,
  search,
}: ManifestFacts): Omit<Manifest, "manifest_sha256"> {
  const steps = new Map(plan.steps.map((step) => [step.name, step]));
  const tensors = shards
    .flatMap(({ records }) => records)
    .map((record) => [record.tensor, tensorOf(record, steps.get(record.tensor)!)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    schema: "spinfer.manifest/1",
    created_by: { name: "spinfer", version: VERSION },
    format: plan.to,
    source,
    recipe: recordedRecipe(recipe),
    ...(statistics === undefined ? {} : { statistics }),
    ...(search === undefined ? {} : { search }),
    files: [...files],
    tensors: Object.fromEntries(tensors),
  };
}

function tensorOf(record: TensorRecord, step: TensorStep): ManifestTensor {
  const { facts, kind, placed, sha256, file, reason = step.reason } = record;
  const pruned = step.prune as ManifestTensor["pruned"];
  return {
    shape: [...step.shape],
    dtype: step.dtype,
    stored: kind === "packed" ? "tile-bitmap" : "dense",
    file,
    bytes: placed.reduce((sum, { begin, end }) => sum + end - begin, 0),
    sha256,
    ...(facts === undefined || step.matrix === undefined
      ? {}
      : { nnz: facts.nonzeros, sparsity: Number((1 - facts.nonzeros / facts.values).toFixed(6)) }),
    ...(facts?.maxChunkNonzeros === undefined ? {} : { max_chunk_nnz: facts.maxChunkNonzeros }),
    ...(facts === undefined || facts.nonfinite === 0 ? {} : { nonfinite: facts.nonfinite }),
    ...(facts === undefined || facts.overflowed === 0 ? {} : { overflowed: facts.overflowed }),
    ...(facts === undefined || facts.underflowed === 0 ? {} : { underflowed: facts.underflowed }),
    ...(pruned === undefined ? {} : { pruned }),
    ...(reason === undefined ? {} : { reason }),
  };
}

function sparsityOf(records: readonly TensorRecord[]): number {
  const values = records.reduce((sum, { facts }) => sum + (facts?.values ?? 0), 0);
  const nonzeros = records.reduce((sum, { facts }) => sum + (facts?.nonzeros ?? 0), 0);
  return values === 0 ? 0 : 1 - nonzeros / values;
}
