import { expect, test } from "vitest";
import { parseShardIndex } from "../../formats/safetensors/shardIndex.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import type { Random } from "../helpers/random.ts";
import { fuzz, fuzzFactor, fuzzSummary } from "./harness.ts";
import { extend, flipBits, truncate } from "./mutate.ts";

/** Low enough that small indexes reach them. */
const limits = { ...DEFAULT_LIMITS, indexBytes: 700, shards: 4, tensors: 7 };

const TENSORS: readonly string[] = ["a", "lm_head.weight", "__proto__", "é😀", "", "\\u0061"];
const SHARDS: readonly string[] = [
  "model-00001-of-00002.safetensors",
  "x.safetensors",
  "é.safetensors",
];
const ODD_SHARDS: readonly string[] = [
  '"../x.safetensors"',
  '"/etc/passwd"',
  '"C:\\\\x.safetensors"',
  '"\\\\\\\\srv\\\\x.safetensors"',
  '"a/b.safetensors"',
  '"nul.safetensors"',
  '"pytorch_model.bin"',
  '"x.safetensors "',
  '"x\\u0000.safetensors"',
  '"\\ud800.safetensors"',
  '""',
  '".."',
  "1",
  "null",
  "{}",
];
const METADATA: readonly string[] = [
  "{}",
  '{"total_size":12}',
  '{"total_size":-1}',
  '{"total_size":1e3}',
  '{"total_size":"9"}',
  '{"total_size":1,"total_size":2}',
  "null",
  "[[[[]]]]",
  "[".repeat(100),
];
const MEMBERS: readonly string[] = [
  ',"more":[1,2.5e-3,true]',
  ',"weight_map":{}',
  ',"metadata":{}',
  ",",
  ',"x"',
  ',"x":NaN',
];

function shardIndex(random: Random): Uint8Array {
  const count = random.int(9);
  const members = Array.from({ length: count }, (_, i) => {
    const name = `${random.pick(TENSORS)}${random.chance(0.97) ? i : ""}`;
    const shard = random.chance(0.04) ? random.pick(ODD_SHARDS) : `"${shardName(random)}"`;
    return `"${name}":${shard}`;
  });
  let map = `{${members.join(",")}}`;
  if (random.chance(0.05)) map = random.pick(["[]", "null", "{", '{"a"}', `"${map.length}"`]);
  const metadata = random.chance(0.9) ? '{"total_size":12}' : random.pick(METADATA);
  const more = random.chance(0.1) ? random.pick(MEMBERS) : "";
  const order = [`"metadata":${metadata}`, `"weight_map":${map}`];
  if (random.chance(0.2)) order.reverse();
  const padding = random.chance(0.02) ? " ".repeat(600) : "";
  const bytes = Buffer.from(`{${order.join(`,${padding}`)}${more}}`);
  if (random.chance(0.9)) return bytes;
  return random.pick([truncate, extend, damage])(bytes, random);
}

function shardName(random: Random): string {
  return random.chance(0.9) ? random.pick(SHARDS) : `s${random.int(9)}.safetensors`;
}

function damage(bytes: Uint8Array, random: Random): Uint8Array {
  return flipBits(bytes, 1 + random.int(3), random);
}

test(
  "the shard index parser holds on 100,000 generated indexes",
  () => {
    const report = fuzz({
      name: "shard index",
      count: 100_000,
      generate: shardIndex,
      parse: (bytes) => parseShardIndex(bytes, "index.json", limits),
      codes: [
        "E_INDEX",
        "E_INDEX_DUP",
        "E_INDEX_EXT",
        "E_PATH_ESCAPE",
        "E_LIMIT",
        "E_LIMIT_SHARDS",
        "E_LIMIT_TENSORS",
      ],
      headerCodes: ["E_INDEX", "E_LIMIT"],
    });
    console.info(fuzzSummary("shard index", report));
    expect(report.count).toBeGreaterThanOrEqual(100_000);
    expect(report.accepted).toBeGreaterThan(0);
  },
  120_000 * fuzzFactor(),
);
