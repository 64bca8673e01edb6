/** What tells one run from another, and one set of weights from another. */
import { createHash } from "node:crypto";
import { SpInferError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import type { Manifest } from "./manifest.ts";
import type { Plan } from "./plan/steps.ts";
import type { Recipe } from "./recipe/index.ts";
import type { SearchRecord } from "./search/record.ts";

/** What a search has found, for the run that writes it. */
export interface Found {
  readonly search: SearchRecord;
  /** Of the weights that were measured, see `weightsHash`. */
  readonly weightsSha256: string;
  /** A statistics file that was gathered for this run: it is pruned by and goes into the output. */
  readonly statistics: string | undefined;
}

/** Of all tensors as they are stored: two checkpoints with the same hash hold the same weights. */
export function weightsHash({ tensors }: Pick<Manifest, "tensors">): string {
  const hashes = Object.entries(tensors).map(([name, { sha256 }]) => [name, sha256]);
  return createHash("sha256").update(JSON.stringify(hashes)).digest("hex");
}

/** What is written is what was measured. Throws E_SOURCE_CHANGED. */
export function requireFound(
  manifest: Pick<Manifest, "tensors">,
  found: Found | undefined,
  path: string,
): void {
  if (found === undefined || weightsHash(manifest) === found.weightsSha256) return;
  throw new SpInferError(
    "E_SOURCE_CHANGED",
    `${path}: pruned again, the weights are not those that were measured`,
    {
      path,
      hint: "the model or the statistics were changed meanwhile: start again with --restart",
    },
  );
}

/** Identifies a run: two runs with the same fingerprint write the same bytes. */
export function fingerprint(plan: Plan, recipe: Recipe, stamps: unknown, inputs: string): string {
  const { model: _, output: __, calibration, ...rest } = recipe;
  const { data: ___, ...gathered } = calibration ?? {};
  const asked = { ...rest, calibration: gathered };
  const steps = plan.steps.map(({ name, shape, dtype, store, prune, copy }) => [
    name,
    shape,
    dtype,
    store,
    prune,
    copy,
  ]);
  const shards = plan.shards.map(({ file, headerBytes }) => [file, headerBytes]);
  const text = JSON.stringify([VERSION, asked, stamps, inputs, steps, shards]);
  return createHash("sha256").update(text).digest("hex");
}
