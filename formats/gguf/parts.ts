/**
 * The files of a GGUF model: one, or the parts that llama-gguf-split makes of it, named
 * NAME-00001-of-00003.gguf and so on. The first part has the metadata, each has tensors of its
 * own. All parts are found and read before anything else is done.
 */
import type { ByteSource, ModelFiles } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";
import type { Limits } from "../../src/core/limits.ts";
import { printable } from "../../src/core/text.ts";
import type { GgufHeader, GgufTensor } from "./header.ts";
import { metadataOf } from "./metadata.ts";
import { readGguf } from "./reader.ts";

/** A tensor and the part that holds it. */
export interface PartTensor extends GgufTensor {
  readonly part: Part;
}

export interface Part {
  readonly name: string;
  readonly source: ByteSource;
}

export interface GgufModel {
  /** Of the first part. */
  readonly header: GgufHeader;
  readonly label: string;
  readonly parts: readonly Part[];
  readonly tensors: readonly PartTensor[];
}

const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s;

export const isGgufName = (name: string): boolean => name.toLowerCase().endsWith(".gguf");

/** Throws E_GGUF_SPLIT, E_GGUF_DUP, E_MODEL_UNRECOGNISED, and what reading a header throws. */
export async function openParts(files: ModelFiles, limits: Limits): Promise<GgufModel> {
  const parts = await findParts(files, limits);
  const tensors: PartTensor[] = [];
  const names = new Set<string>();
  let first: GgufHeader | undefined;
  for (const [index, part] of parts.entries()) {
    const header = await readGguf(part.source, limits);
    checkSplit(header, part, index, parts.length);
    first ??= header;
    for (const tensor of header.tensors) {
      if (names.has(tensor.name)) throw inTwoParts(tensor.name, part);
      names.add(tensor.name);
      tensors.push({ ...tensor, part });
    }
  }
  checkTensorCount(first!, tensors.length, files.label);
  return { header: first!, label: files.label, parts, tensors };
}

async function findParts(files: ModelFiles, limits: Limits): Promise<Part[]> {
  const names = partNames(files, limits);
  const parts: Part[] = [];
  const missing: string[] = [];
  for (const name of names) {
    const source = await openPart(files, name, names.length > 1);
    if (source === undefined) missing.push(name);
    else parts.push({ name, source });
  }
  if (missing.length === 0) return parts;
  throw new SpInferError(
    "E_GGUF_SPLIT",
    `${files.label}: ${missing.length} of ${names.length} parts are missing: ${list(missing)}`,
    { path: files.label, hint: "put all parts into one folder" },
  );
}

/** Undefined when a part of several is not there. */
async function openPart(
  files: ModelFiles,
  name: string,
  ofSeveral: boolean,
): Promise<ByteSource | undefined> {
  try {
    const source = await files.open(name);
    if (!ofSeveral) return source;
    // parts beside a single named file are opened through it: their messages must name them
    return {
      label: besideLabel(files, name),
      size: source.size,
      read: (begin, end) => source.read(begin, end),
    };
  } catch (thrown) {
    if (ofSeveral && thrown instanceof SpInferError && thrown.code === "E_SHARD_MISSING") {
      return undefined;
    }
    throw thrown;
  }
}

function besideLabel({ label, single, names }: ModelFiles, name: string): string {
  const own = names[0] ?? "";
  if (single && label.endsWith(own)) return label.slice(0, label.length - own.length) + name;
  return `${label}/${name}`;
}

/** Names of the file, or of all parts in order. */
function partNames({ label, names }: ModelFiles, limits: Limits): string[] {
  const candidates = names.filter((name) => names.length === 1 || isGgufName(name));
  const sets = new Set(candidates.map((name) => name.replace(PART_NAME, "$1-of-$3")));
  const name = candidates[0];
  if (name === undefined || sets.size !== 1) {
    throw new SpInferError(
      "E_MODEL_UNRECOGNISED",
      `${label}: the folder holds ${sets.size} GGUF models: ${list(candidates)}`,
      { path: label, hint: "name one of the files instead of the folder" },
    );
  }
  const split = PART_NAME.exec(name);
  if (split === null) return [name];
  const [, stem, , total] = split;
  const count = Number(total);
  if (count > limits.shards) {
    throw new SpInferError("E_LIMIT_SHARDS", `${label}: the name claims ${count} parts`, {
      path: label,
      expected: `at most ${limits.shards}`,
    });
  }
  const parts = Array.from(
    { length: count },
    (_, i) => `${stem}-${String(i + 1).padStart(5, "0")}-of-${total}.gguf`,
  );
  // 00007-of-00003 and the like is a name, not a part
  return parts.includes(name) ? parts : [name];
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => printable(name));
  return names.length > shown.length
    ? `${shown.join(", ")} and ${names.length - shown.length} more`
    : shown.join(", ");
}

/** The split that the metadata states must be the one that the names state. */
function checkSplit(header: GgufHeader, { name, source }: Part, index: number, count: number) {
  const metadata = metadataOf(header.metadata, source.label);
  const statedCount = metadata.count("split.count") ?? 1;
  const statedIndex = metadata.count("split.no") ?? 0;
  if (Math.max(statedCount, 1) === count && statedIndex === index) return;
  throw new SpInferError(
    "E_GGUF_SPLIT",
    `${source.label}: the file is part ${statedIndex + 1} of ${statedCount}, but "${printable(name)}" is read as part ${index + 1} of ${count}`,
    {
      path: source.label,
      hint: "keep the names that llama-gguf-split gave: NAME-00001-of-0000N.gguf",
    },
  );
}

function checkTensorCount(first: GgufHeader, found: number, label: string): void {
  const stated = metadataOf(first.metadata, label).count("split.tensors.count") ?? found;
  if (stated === found) return;
  throw new SpInferError("E_GGUF_SPLIT", `${label}: the parts hold ${found} of ${stated} tensors`, {
    path: label,
  });
}

function inTwoParts(tensor: string, { source }: Part): SpInferError {
  return new SpInferError(
    "E_GGUF_DUP",
    `${source.label}: the tensor "${printable(tensor)}" is in an earlier part too`,
    { path: source.label, tensor },
  );
}
