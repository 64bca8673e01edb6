/** One tensor's dense values, whatever it is stored as. */
import type { TensorEntry } from "../core/archive.ts";
import { SpInferError } from "../core/errors.ts";
import { closeFiles } from "../io/openFile.ts";
import type { OpenedModel } from "./openModel.ts";
import { decodeEntry, type Paths } from "./work/tasks.ts";

/**
 * Dense little-endian bytes, row-major, in the entry's dtype and shape; a packed weight is checked
 * completely on the way. Memory: the stored bytes and the dense ones.
 * Throws E_USAGE when the model has no such tensor, and what the format's decoder throws.
 */
export function readTensor(
  model: OpenedModel,
  name: string,
): { entry: TensorEntry; bytes: Uint8Array } {
  const entry = model.archive.entries.find((candidate) => candidate.name === name);
  if (entry === undefined) {
    throw new SpInferError("E_USAGE", `${model.archive.label}: there is no tensor "${name}"`, {
      tensor: name,
    });
  }
  const paths: Paths = Object.fromEntries(
    entry.extents.map(({ file }) => [file, model.pathOf(file)]),
  );
  try {
    return { entry, bytes: decodeEntry(entry, paths) };
  } finally {
    closeFiles();
  }
}
