/** From a MODEL argument to an opened archive: find the files, find the format, read the index. */
import { statSync } from "node:fs";
import { formats } from "../../formats/index.ts";
import type { Archive } from "../core/archive.ts";
import type { ModelFiles } from "../core/byteSource.ts";
import { CONTAINER_PROBE_BYTES, recogniseContainer, refuseContainer } from "../core/containers.ts";
import type { WeightDtype } from "../core/dtype.ts";
import { SpInferError } from "../core/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { modelFiles, modelPath } from "../io/modelFolder.ts";
import { locateModel, type ModelLocation } from "../io/modelLocation.ts";
import { closeFiles } from "../io/openFile.ts";

export interface OpenModelOptions {
  readonly limits?: Limits | undefined;
  /** dtype for the values of a quantised source; absent: the format's choice. */
  readonly dtype?: WeightDtype | undefined;
  readonly followSymlinks?: boolean | undefined;
  readonly keepUnknown?: boolean | undefined;
}

export interface OpenedModel {
  readonly location: ModelLocation;
  readonly files: ModelFiles;
  readonly archive: Archive;
  /** Real paths of all files that the archive names. */
  pathOf(file: string): string;
}

/** Throws what the format's reader throws, or E_MODEL_UNRECOGNISED. */
export async function openModel(
  argument: string,
  options: OpenModelOptions = {},
): Promise<OpenedModel> {
  closeFiles(); // what was read before may have been replaced since
  const location = locateModel(argument);
  const symlinks = { followSymlinks: options.followSymlinks ?? false };
  const files = modelFiles(location, symlinks);
  const paths = new Map<string, string>();
  const pathOf = (file: string): string => {
    const path = paths.get(file) ?? modelPath(location, file, symlinks);
    paths.set(file, path);
    return path;
  };
  const { limits = DEFAULT_LIMITS, dtype, keepUnknown } = options;
  for (const format of formats.all) {
    if (!(await format.sniff(files))) continue;
    return {
      location,
      files,
      archive: await format.open(files, { limits, dtype, keepUnknown }),
      pathOf,
    };
  }
  await refuseKnown(files);
  throw new SpInferError("E_MODEL_UNRECOGNISED", `${argument}: no model that SpInfer can read`, {
    path: argument,
    found: describe(files),
    expected: "safetensors (one file, or shards with an index) or GGUF",
  });
}

/** Says what a file is, when its first bytes tell: a pickle, a web page, an archive, … */
async function refuseKnown(files: ModelFiles): Promise<void> {
  for (const name of files.names) {
    if (!files.single && !WEIGHT_FILE.test(name)) continue;
    const source = await files.open(name);
    const probe = await source.read(0, Math.min(source.size, CONTAINER_PROBE_BYTES));
    const container = recogniseContainer(probe);
    if (container !== undefined) throw refuseContainer(source.label, container);
  }
}

const WEIGHT_FILE = /\.(?:bin|pt|pth|ckpt|pkl|h5|msgpack|npz|onnx|tar)$/i;

function describe(files: ModelFiles): string {
  if (files.names.length === 0) return "an empty folder";
  const shown = files.names.slice(0, 8).join(", ");
  return files.names.length > 8 ? `${shown} and ${files.names.length - 8} more files` : shown;
}

/** Size, time and inode of a source file: what must not change while a run reads it. */
export interface SourceStamp {
  readonly file: string;
  readonly bytes: number;
  readonly mtimeNs: string;
}

export function stampSources(model: OpenedModel): SourceStamp[] {
  return model.archive.tensorFiles.map(({ name }) => {
    const { size, mtimeNs } = statSync(model.pathOf(name), { bigint: true });
    return { file: name, bytes: Number(size), mtimeNs: String(mtimeNs) };
  });
}

/** Throws E_SOURCE_CHANGED when a source file is not what it was. */
export function checkStamps(model: OpenedModel, before: readonly SourceStamp[]): void {
  const now = stampSources(model);
  for (const [i, stamp] of before.entries()) {
    const current = now[i]!;
    if (current.bytes === stamp.bytes && current.mtimeNs === stamp.mtimeNs) continue;
    const path = model.pathOf(stamp.file);
    throw new SpInferError("E_SOURCE_CHANGED", `${path}: the source changed while it was read`, {
      path,
      found: `${current.bytes} bytes now, ${stamp.bytes} bytes when the run began`,
      hint: "let whatever writes it finish, then run the command again with --restart",
    });
  }
}
