/** Finds the files of a model folder that hold its tensors, in the order transformers looks. */
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

export interface TensorFiles {
  /** One file with all tensors, or the index that names the shards. */
  readonly use: { readonly file: string } | { readonly index: string };
  readonly warnings: readonly string[];
}

/** True when a folder has something that `findTensorFiles` could look at. */
export function hasSafetensors(names: readonly string[]): boolean {
  return names.some((name) => isTensorFile(name) || isIndex(name));
}

export function isTensorFile(name: string): boolean {
  return name.endsWith(".safetensors");
}

function isIndex(name: string): boolean {
  return name.endsWith(".safetensors.index.json");
}

/** Throws E_MODEL_UNRECOGNISED when it is not clear which file is meant. */
export function findTensorFiles(files: ModelFiles): TensorFiles {
  if (files.single) return { use: { file: files.names[0]! }, warnings: [] };
  const indexes = files.names.filter(isIndex);
  const tensorFiles = files.names.filter(isTensorFile);
  if (tensorFiles.includes(SINGLE_FILE)) {
    const warnings = indexes.map(
      (index) =>
        `${files.label}: both ${SINGLE_FILE} and ${index} are there; ${SINGLE_FILE} was used, as transformers does`,
    );
    return { use: { file: SINGLE_FILE }, warnings };
  }
  const index = indexes.includes(INDEX_FILE) ? INDEX_FILE : onlyOne(indexes);
  if (index !== undefined) return { use: { index }, warnings: [] };
  const file = onlyOne(tensorFiles);
  if (file !== undefined && indexes.length === 0) return { use: { file }, warnings: [] };
  const found = [...indexes, ...tensorFiles].join(", ");
  throw new SpInferError(
    "E_MODEL_UNRECOGNISED",
    `${files.label}: it is not clear which safetensors files are the model`,
    {
      path: files.label,
      found,
      expected: `${SINGLE_FILE}, ${INDEX_FILE}, or one .safetensors file`,
      hint: "name one file, or add the index that lists the shards",
    },
  );
}

function onlyOne(names: readonly string[]): string | undefined {
  return names.length === 1 ? names[0] : undefined;
}
