/** What `verify` can find, as errors with the sentences that a user reads. */
import type { TensorEntry } from "../core/archive.ts";
import { SpInferError } from "../core/errors.ts";
import type { TensorStep } from "./plan/steps.ts";
import type { Difference } from "./work/tasks.ts";

const AGAIN = "fetch the checkpoint again, or make it anew from its source";

export function leadsOutside(folder: string, name: string): SpInferError {
  return new SpInferError(
    "E_PATH_ESCAPE",
    `${folder}: the manifest names ${JSON.stringify(name)}`,
    { path: folder },
  );
}

export function fileMissing(path: string): SpInferError {
  return new SpInferError("E_MANIFEST", `${path}: the file is in the manifest and not there`, {
    path,
    hint: AGAIN,
  });
}

export function sizeDiffers(path: string, expected: number, found: number): SpInferError {
  return new SpInferError("E_HASH", `${path}: ${found} bytes, not ${expected}`, {
    path,
    expected: `${expected} bytes`,
    found: `${found} bytes`,
    hint: found < expected ? "the file is cut short: fetch or copy it again" : AGAIN,
  });
}

export function hashDiffers(path: string, expected: string, found: string): SpInferError {
  return new SpInferError("E_HASH", `${path}: the file is not what the manifest says`, {
    path,
    expected: `sha256 ${expected}`,
    found: `sha256 ${found}`,
    hint: AGAIN,
  });
}

export function tensorDiffers({ name, extents }: TensorEntry, path: string): SpInferError {
  const where = extents.map(({ begin, end }) => `bytes ${begin}..${end}`).join(" and ");
  return new SpInferError(
    "E_HASH",
    `${path}: tensor "${name}" (${where}) does not match its hash`,
    {
      path,
      tensor: name,
      offset: extents[0]!.begin,
      hint: AGAIN,
    },
  );
}

export function recordDiffers(path: string, tensor: string, what: string): SpInferError {
  return new SpInferError("E_MANIFEST", `${path}: tensor "${tensor}": ${what}`, {
    path,
    tensor,
    hint: AGAIN,
  });
}

export function sourceDiffers(path: string, expected: string, found: string): SpInferError {
  return new SpInferError(
    "E_SOURCE_CHANGED",
    `${path}: not the source that the checkpoint was made from`,
    {
      path,
      expected,
      found,
      hint: "name the right one with --against MODEL",
    },
  );
}

export function valuesDiffer(
  step: TensorStep,
  path: string,
  count: number,
  first: Difference,
): SpInferError {
  const width = step.shape.at(-1) ?? 1;
  const place =
    step.shape.length < 2
      ? `${first.index}`
      : `${Math.floor(first.index / width)}, ${first.index % width}`;
  const what = `${count} values differ, the first at [${place}]`;
  return new SpInferError("E_MISMATCH", `${path}: tensor "${step.name}": ${what}`, {
    path,
    tensor: step.name,
    expected: first.expected,
    found: first.found,
    hint: AGAIN,
  });
}

export function statisticsMissing(
  checkpoint: string,
  path: string | undefined,
  sha256: string,
): SpInferError {
  return new SpInferError(
    "E_STATS_MISSING",
    `${checkpoint}: the statistics that it was pruned by are not there`,
    {
      path: path ?? checkpoint,
      expected: `a statistics file with SHA-256 ${sha256}`,
      hint: "say where it is: --stats FILE",
    },
  );
}

export function statisticsDiffer(path: string, expected: string, found: string): SpInferError {
  return new SpInferError("E_STATS_MISMATCH", `${path}: the checkpoint was pruned by others`, {
    path,
    found: `SHA-256 ${found}`,
    expected: `SHA-256 ${expected}, as the manifest says`,
    hint: "give the statistics of that run: --stats FILE",
  });
}
