/** Holds a shard index and the headers of its shards to each other; all of it before any is used. */
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { printable } from "../../src/core/text.ts";
import type { SafetensorsHeader } from "./header.ts";
import type { ShardIndex } from "./shardIndex.ts";

/** Names printed of a long list. */
const SHOWN = 10;

/** Throws E_SHARD_MISSING with all that are missing. */
export function requireShards(index: ShardIndex, files: ModelFiles): void {
  const missing = index.shards.filter((shard) => !files.has(shard));
  if (missing.length === 0) return;
  throw new SpInferError(
    "E_SHARD_MISSING",
    `${files.label}: ${missing.length} of ${index.shards.length} shards are missing: ${list(missing)}`,
    { path: files.label, hint: "download the missing files; nothing was read yet" },
  );
}

/**
 * Throws E_INDEX_DUP when two shards hold the same tensor, E_INDEX_MISMATCH when index and shards
 * do not name the same tensors in the same places. Returns warnings.
 */
export function checkShards(
  index: ShardIndex,
  headers: ReadonlyMap<string, SafetensorsHeader>,
  label: string,
): string[] {
  const holder = new Map<string, string>();
  let bytes = 0;
  for (const [shard, { entries }] of headers) {
    for (const { name, begin, end } of entries) {
      const other = holder.get(name);
      if (other !== undefined) {
        throw new SpInferError(
          "E_INDEX_DUP",
          `${label}: tensor "${printable(name, 100)}" is in "${other}" and in "${shard}"`,
          { path: label, tensor: name },
        );
      }
      holder.set(name, shard);
      bytes += end - begin;
    }
  }
  checkNames(index.shardOf, holder, label);
  if (index.totalSize === undefined || index.totalSize === bytes) return [];
  return [
    `${label}: metadata.total_size is ${index.totalSize}, but the tensors have ${bytes} bytes; an output gets the right number`,
  ];
}

function checkNames(
  mapped: ReadonlyMap<string, string>,
  holder: ReadonlyMap<string, string>,
  label: string,
): void {
  const unmapped = [...holder.keys()].filter((name) => !mapped.has(name));
  const absent: string[] = [];
  const moved: string[] = [];
  for (const [name, shard] of mapped) {
    const found = holder.get(name);
    if (found === undefined) absent.push(name);
    else if (found !== shard) moved.push(name);
  }
  const faults = [
    [unmapped, "in the shards but not in the index"],
    [absent, "in the index but not in the shards"],
    [moved, "in another shard than the index says"],
  ] as const;
  const found = faults
    .filter(([names]) => names.length > 0)
    .map(([names, what]) => `${names.length} ${what}: ${list(names)}`);
  if (found.length === 0) return;
  throw new SpInferError(
    "E_INDEX_MISMATCH",
    `${label}: index and shards do not name the same tensors; ${found.join("; ")}`,
    { path: label, hint: "the files are from different exports: download all of them again" },
  );
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map((name) => printable(name, 100));
  const rest = names.length - shown.length;
  return shown.join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
