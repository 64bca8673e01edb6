import { describe, expect, it } from "vitest";
import { parseShardIndex, type ShardIndex } from "../../../formats/safetensors/shardIndex.ts";
import { DEFAULT_LIMITS, type Limits, parseLimits } from "../../../src/core/limits.ts";
import { processorMs } from "../../helpers/processorTime.ts";
import { refusal } from "../../helpers/safetensorsFile.ts";

const parse = (index: unknown, limits: Limits = DEFAULT_LIMITS) =>
  parseShardIndex(
    Buffer.from(typeof index === "string" ? index : JSON.stringify(index)),
    "index.json",
    limits,
  );

const mapOf = (shard: string) => ({ weight_map: { a: shard } });

describe("parseShardIndex", () => {
  it("says which shard holds which tensor", () => {
    const index = parse({
      metadata: { total_size: 12 },
      weight_map: { b: "2.safetensors", a: "1.safetensors", __proto__x: "2.safetensors" },
    });
    expect([...index.shardOf]).toEqual([
      ["b", "2.safetensors"],
      ["a", "1.safetensors"],
      ["__proto__x", "2.safetensors"],
    ]);
    expect(index.shards).toEqual(["1.safetensors", "2.safetensors"]);
    expect(index.totalSize).toBe(12);
  });

  it("takes a tensor named __proto__ for a tensor", () => {
    const index = parse('{"weight_map":{"__proto__":"x.safetensors"}}');
    expect(index.shardOf.get("__proto__")).toBe("x.safetensors");
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it.each([["-1"], ["1.5"], ["1e3"], ['"12"'], ["9007199254740993"], ["null"]])(
    "SH-08 does not take %s for a size",
    (text) => {
      const index = parse(`{"metadata":{"total_size":${text}},"weight_map":{}}`);
      expect(index.totalSize).toBeUndefined();
    },
  );

  it.each([
    ["../x.safetensors", "has a folder part"],
    ["/etc/x.safetensors", "has a folder part"],
    ["a/../../x.safetensors", "has a folder part"],
    ["sub/x.safetensors", "has a folder part"],
    ["C:\\x.safetensors", "has a folder part"],
    ["C:x.safetensors", "has a colon"],
    ["x.safetensors:stream", "has a colon"],
    ["\\\\srv\\share\\x.safetensors", "has a folder part"],
    ["..\\x.safetensors", "has a folder part"],
    ["..", "is a folder"],
    [".", "is a folder"],
    ["", "is empty"],
    ["x\0.safetensors", "has a control character"],
    ["x\n.safetensors", "has a control character"],
    ["NUL.safetensors", "is a device on Windows"],
    ["com1.safetensors", "is a device on Windows"],
    ["aux", "is a device on Windows"],
    ["x.safetensors ", "ends in a space or a dot"],
    ["x.safetensors.", "ends in a space or a dot"],
    [`${"n".repeat(250)}.safetensors`, "is longer than 255 bytes"],
  ])("SH-01 refuses the shard name %j on every system", async (shard, reason) => {
    const error = await refusal(() => parse(mapOf(shard)));
    expect(error).toMatchObject({ code: "E_PATH_ESCAPE", exit: 3 });
    expect(error.message).toContain(reason);
  });

  it.each(["nullable.safetensors", "com10.safetensors", "..x.safetensors", "é 1.safetensors"])(
    "SH-01 takes the harmless name %j",
    (shard) => {
      expect(parse(mapOf(shard)).shards).toEqual([shard]);
    },
  );

  it.each([
    "pytorch_model-00001-of-00002.bin",
    "x.pt",
    "x.SAFETENSORS",
    "safetensors",
    "x.safetensors.bin",
  ])("SH-02 refuses %s for a shard", async (shard) => {
    const error = await refusal(() => parse(mapOf(shard)));
    expect(error).toMatchObject({ code: "E_INDEX_EXT", exit: 3 });
    expect(error.message).toContain(`the shard "${shard}" is not a .safetensors file`);
  });

  it("SH-05 refuses a tensor that is mapped twice", async () => {
    const twice = (second: string) => `{"weight_map":{"a":"x.safetensors","a":"${second}"}}`;
    const elsewhere = await refusal(() => parse(twice("y.safetensors")));
    expect(elsewhere).toMatchObject({ code: "E_INDEX_DUP", detail: { tensor: "a" } });
    expect(elsewhere.message).toContain('in "x.safetensors" and in "y.safetensors"');
    const same = await refusal(() => parse(twice("x.safetensors")));
    expect(same).toMatchObject({ code: "E_INDEX_DUP" });
    expect(same.message).toContain('twice in "x.safetensors"');
  });

  it("SH-06 reads an index of 60 MB with 500,000 entries in under 3 s and 1 GiB", () => {
    const entries = Array.from({ length: 500_000 }, (_, i) => {
      const name = `model.language_model.layers.${i % 61}.mlp.experts.${i}.down_proj.weight_packed_long`;
      return `"${name}":"model-${String((i % 96) + 1).padStart(5, "0")}-of-00096.safetensors"`;
    });
    const bytes = Buffer.from(
      `{"metadata":{"total_size":1},"weight_map":{\n${entries.join(",\n    ")}}}`,
    );
    expect(bytes.length).toBeGreaterThan(60_000_000);
    const before = process.memoryUsage.rss();
    let index: ShardIndex | undefined;
    const ms = processorMs(() => {
      index = parseShardIndex(bytes, "index.json", DEFAULT_LIMITS);
    });
    expect(index?.shardOf.size).toBe(500_000);
    expect(index?.shards).toHaveLength(96);
    expect(ms).toBeLessThan(3000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 30);
  }, 60_000);

  it("SH-06 bounds the size of the index before it looks at it", async () => {
    const limits = parseLimits(["indexBytes=10"]);
    const error = await refusal(() => parse("not JSON at all", limits));
    expect(error).toMatchObject({ code: "E_LIMIT", exit: 12 });
    expect(error.message).toContain("15 bytes, over the limit of 10");
  });

  it("SH-07 refuses more than 10,000 shards", async () => {
    const index = (count: number) => ({
      weight_map: Object.fromEntries(
        Array.from({ length: count }, (_, i) => [`t${i}`, `s${i}.safetensors`]),
      ),
    });
    expect(parse(index(10_000)).shards).toHaveLength(10_000);
    const error = await refusal(() => parse(index(10_001)));
    expect(error).toMatchObject({ code: "E_LIMIT_SHARDS", exit: 12 });
    expect(error.message).toContain("more than 10000 shards");
  });

  it("counts the tensors", async () => {
    const limits = parseLimits(["tensors=1"]);
    const two = { weight_map: { a: "x.safetensors", b: "x.safetensors" } };
    const error = await refusal(() => parse(two, limits));
    expect(error).toMatchObject({ code: "E_LIMIT_TENSORS" });
    expect(error.message).toContain("more than 1 tensors");
  });

  it.each([
    ["nothing", "", "the index is empty"],
    ["a list", "[]", "expected an object"],
    ["no weight_map", '{"metadata":{}}', 'the index has no "weight_map"'],
    ["a list for a weight_map", '{"weight_map":[]}', "expected an object"],
    ["a number for a shard", '{"weight_map":{"a":1}}', "expected a string and found '1}}'"],
    ["two weight_maps", '{"weight_map":{},"weight_map":{}}', '"weight_map" is there twice'],
    ["total_size twice", '{"metadata":{"total_size":1,"total_size":2},"weight_map":{}}', "twice"],
    ["text behind it", '{"weight_map":{}}}', "follows the JSON text"],
    ["bytes that are not UTF-8", '{"weight_map":{}, "\\udfff":1}', "half of a surrogate pair"],
    ["endless nesting", `{"x":${"[".repeat(1000)}`, "more than 64 levels"],
  ])("refuses an index with %s", async (_, text, reason) => {
    const error = await refusal(() => parse(text));
    expect(error).toMatchObject({ code: "E_INDEX", detail: { path: "index.json" } });
    expect(error.message).toContain(reason);
  });
});
