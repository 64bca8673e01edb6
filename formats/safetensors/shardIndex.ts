/**
 * Reads `model.safetensors.index.json`: which shard holds which tensor. Straight from the bytes,
 * since indexes reach 60 MB; names of shards are checked before anyone can open one.
 */

import { SpInferError } from "../../src/core/errors.ts";
import { isCount } from "../../src/core/guards.ts";
import { JsonCursor } from "../../src/core/jsonCursor.ts";
import { JsonError } from "../../src/core/jsonError.ts";
import type { Limits } from "../../src/core/limits.ts";
import { type JsonValue, readValue } from "../../src/core/strictJson.ts";
import { printable } from "../../src/core/text.ts";
import { checkShardName } from "./shardName.ts";

export interface ShardIndex {
  /** Tensor name → shard name. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** Each shard once, sorted by code unit. */
  readonly shards: readonly string[];
  /** `metadata.total_size` as written, undefined when it is missing or no whole number. */
  readonly totalSize: number | undefined;
}

/** Throws E_INDEX, E_INDEX_DUP, E_INDEX_EXT, E_PATH_ESCAPE, E_LIMIT, E_LIMIT_SHARDS, E_LIMIT_TENSORS. */
export function parseShardIndex(bytes: Uint8Array, label: string, limits: Limits): ShardIndex {
  if (bytes.length > limits.indexBytes) throw indexTooLarge(bytes.length, label, limits);
  try {
    return readIndex(bytes, label, limits);
  } catch (thrown) {
    if (!(thrown instanceof JsonError)) throw thrown;
    throw new SpInferError(
      "E_INDEX",
      `${label}: the index is not accepted at byte ${thrown.offset}: ${thrown.message}`,
      { path: label, offset: thrown.offset, cause: thrown },
    );
  }
}

export function indexTooLarge(bytes: number, label: string, limits: Limits): SpInferError {
  return new SpInferError(
    "E_LIMIT",
    `${label}: the index has ${bytes} bytes, over the limit of ${limits.indexBytes}`,
    { path: label, hint: `raise the limit with --limit indexBytes=${bytes}` },
  );
}

function readIndex(bytes: Uint8Array, label: string, limits: Limits): ShardIndex {
  const cursor = new JsonCursor(bytes);
  const seen = new Set<string>();
  let totalSize: number | undefined;
  let map: WeightMap | undefined;
  if (cursor.atEnd()) throw new JsonError("type", 0, "the index is empty");
  cursor.object((key, offset) => {
    if (seen.has(key)) {
      throw new JsonError("duplicate", offset, `"${printable(key, 80)}" is there twice`);
    }
    seen.add(key);
    if (key === "weight_map") map = readWeightMap(cursor, label, limits);
    else if (key === "metadata") totalSize = totalSizeOf(readValue(cursor));
    else cursor.skip();
  });
  cursor.end();
  if (map === undefined) throw new JsonError("type", bytes.length, 'the index has no "weight_map"');
  return { shardOf: map.shardOf, shards: [...map.shards.keys()].sort(), totalSize };
}

interface WeightMap {
  readonly shardOf: Map<string, string>;
  /** One string for each shard, however many tensors it holds. */
  readonly shards: Map<string, string>;
}

function readWeightMap(cursor: JsonCursor, label: string, limits: Limits): WeightMap {
  const shardOf = new Map<string, string>();
  const shards = new Map<string, string>();
  cursor.object((tensor, offset) => {
    const written = cursor.string();
    let shard = shards.get(written);
    if (shard === undefined) {
      checkShardName(written, label);
      if (shards.size >= limits.shards) throw tooMany("shards", label, limits);
      shard = written;
      shards.set(shard, shard);
    }
    const other = shardOf.get(tensor);
    if (other !== undefined) throw mappedTwice(tensor, other, shard, offset, label);
    if (shardOf.size >= limits.tensors) throw tooMany("tensors", label, limits);
    shardOf.set(tensor, shard);
  });
  return { shardOf, shards };
}

function totalSizeOf(metadata: JsonValue): number | undefined {
  const value = metadata instanceof Map ? metadata.get("total_size") : undefined;
  return isCount(value) ? value : undefined;
}

function mappedTwice(
  tensor: string,
  first: string,
  second: string,
  offset: number,
  label: string,
): SpInferError {
  const where = first === second ? `twice in "${first}"` : `in "${first}" and in "${second}"`;
  return new SpInferError(
    "E_INDEX_DUP",
    `${label}: the index has tensor "${printable(tensor, 100)}" ${where}`,
    { path: label, tensor, offset },
  );
}

function tooMany(what: "shards" | "tensors", label: string, limits: Limits): SpInferError {
  return new SpInferError(
    what === "shards" ? "E_LIMIT_SHARDS" : "E_LIMIT_TENSORS",
    `${label}: the index names more than ${limits[what]} ${what}`,
    { path: label, hint: `raise the limit with --limit ${what}=${limits[what] * 2}` },
  );
}
