/**
 * Opens the safetensors files of a model: one file, or a folder with one file or an index and
 * its shards. All headers are read and checked before anything is returned. The tile-bitmap
 * format, which lives in such folders, opens them through here too.
 *
 * Memory: the entries of all tensors; never tensor bytes.
 */
import type { ModelConfig, SideFile } from "../../src/core/archive.ts";
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { requireLittleEndian } from "../../src/core/endianness.ts";
import type { OpenOptions } from "../defineFormat.ts";
import { readConfigAndText } from "./config.ts";
import { type HeaderEntry, readSafetensorsHeader, type SafetensorsHeader } from "./header.ts";
import { indexTooLarge, parseShardIndex } from "./shardIndex.ts";
import { checkShards, requireShards } from "./shards.ts";
import { sortFolder } from "./sideFiles.ts";
import { findTensorFiles, isTensorFile } from "./tensorFiles.ts";

/** One tensor as its file stores it; begin..end are offsets in `file`. */
export interface StoredTensor extends HeaderEntry {
  readonly file: string;
}

export interface OpenedSafetensors {
  /** Sorted by file, then offset. Names are unique. */
  readonly tensors: readonly StoredTensor[];
  /** `__metadata__` of each tensor file. */
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly tensorFiles: readonly { readonly name: string; readonly bytes: number }[];
  /** Undefined when one file was named and not a folder. */
  readonly config: ModelConfig | undefined;
  readonly configText?: string;
  readonly sideFiles: readonly SideFile[];
  /** Python and other code in the folder, which is never run and not among `sideFiles`. */
  readonly codeFiles: readonly string[];
  readonly warnings: readonly string[];
}

/** Throws the codes of groups E_ST_…, E_INDEX…, E_SHARD_MISSING, E_CONFIG, E_MODEL_UNRECOGNISED. */
export async function openSafetensorsFiles(
  files: ModelFiles,
  options: OpenOptions,
): Promise<OpenedSafetensors> {
  requireLittleEndian();
  const { use, warnings: choiceWarnings } = findTensorFiles(files);
  const configFile = files.single ? undefined : await readConfigAndText(files, options.limits);
  const read =
    "file" in use
      ? await readHeaders(files, [use.file], options)
      : await readIndexed(files, use.index, options);
  const used = new Set(read.headers.keys());
  const { sideFiles, codeFiles } = sortFolder(files.single ? [] : files.names);
  return {
    tensors: [...read.headers].flatMap(([file, { entries }]) =>
      entries.map((entry) => ({ ...entry, file })),
    ),
    metadata: new Map([...read.headers].map(([file, { metadata }]) => [file, metadata])),
    tensorFiles: read.sizes,
    config: configFile?.config,
    ...(configFile === undefined ? {} : { configText: configFile.text }),
    sideFiles,
    codeFiles,
    warnings: [
      ...choiceWarnings,
      ...read.warnings,
      ...unusedWarning(files, used),
      ...codeWarning(files, codeFiles),
    ],
  };
}

interface ReadFiles {
  readonly headers: ReadonlyMap<string, SafetensorsHeader>;
  readonly sizes: readonly { readonly name: string; readonly bytes: number }[];
  readonly warnings: readonly string[];
}

async function readIndexed(
  files: ModelFiles,
  indexName: string,
  options: OpenOptions,
): Promise<ReadFiles> {
  const source = await files.open(indexName);
  if (source.size > options.limits.indexBytes) {
    throw indexTooLarge(source.size, source.label, options.limits);
  }
  const bytes = await source.read(0, source.size);
  const index = parseShardIndex(bytes, source.label, options.limits);
  requireShards(index, files);
  const read = await readHeaders(files, index.shards, options);
  const warnings = checkShards(index, read.headers, source.label);
  return { ...read, warnings: [...warnings, ...read.warnings] };
}

async function readHeaders(
  files: ModelFiles,
  names: readonly string[],
  { limits, keepUnknown }: OpenOptions,
): Promise<ReadFiles> {
  const headers = new Map<string, SafetensorsHeader>();
  const sizes: { name: string; bytes: number }[] = [];
  for (const name of names) {
    const source = await files.open(name);
    headers.set(name, await readSafetensorsHeader(source, limits, { keepUnknown }));
    sizes.push({ name, bytes: source.size });
  }
  return { headers, sizes, warnings: fileWarnings(headers) };
}

/** Warnings of many shards are alike: the first stands for all. */
function fileWarnings(headers: ReadonlyMap<string, SafetensorsHeader>): string[] {
  const warned = [...headers.values()].filter(({ warnings }) => warnings.length > 0);
  const [first, ...others] = warned;
  if (first === undefined) return [];
  if (others.length === 0) return [...first.warnings];
  return [...first.warnings, `${others.length} more shards have warnings of this kind`];
}

function unusedWarning(files: ModelFiles, used: ReadonlySet<string>): string[] {
  const unused = files.names.filter((name) => isTensorFile(name) && !used.has(name));
  if (unused.length === 0) return [];
  const rest = unused.length > 3 ? ` and ${unused.length - 3} more` : "";
  return [
    `${files.label}: not part of the model and not read: ${unused.slice(0, 3).join(", ")}${rest}`,
  ];
}

function codeWarning(files: ModelFiles, codeFiles: readonly string[]): string[] {
  if (codeFiles.length === 0) return [];
  return [`${files.label}: code is never run and not copied: ${codeFiles.join(", ")}`];
}
