import { describe, expect, it } from "vitest";
import { safetensors } from "../../../formats/safetensors/format.ts";
import { openSafetensorsFiles } from "../../../formats/safetensors/open.ts";
import { type TensorBytes, writeSafetensors } from "../../../formats/safetensors/writer.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { memoryFiles, rawSafetensors, refusal } from "../../helpers/safetensorsFile.ts";

const options = { limits: DEFAULT_LIMITS };
const CONFIG = { architectures: ["LlamaForCausalLM"], hidden_size: 4 };
const INDEX = "model.safetensors.index.json";

const tensor = (name: string, values: readonly number[] = [1, 2]): TensorBytes => ({
  name,
  dtype: "U8",
  shape: [values.length],
  bytes: Uint8Array.from(values),
});
const shard = (...names: string[]) => writeSafetensors(names.map((name) => tensor(name)));

/** A folder of shards `1.safetensors`, …, each with the tensors named, and an index of them. */
function sharded(
  tensors: readonly (readonly string[])[],
  index: { weight_map?: Record<string, string>; total_size?: number } = {},
) {
  const names = tensors.map((_, i) => `${i + 1}.safetensors`);
  const map = Object.fromEntries(
    tensors.flatMap((inShard, i) => inShard.map((name) => [name, names[i]!])),
  );
  const count = tensors.flat().length;
  return {
    "config.json": CONFIG,
    [INDEX]: {
      metadata: { total_size: index.total_size ?? count * 2 },
      weight_map: index.weight_map ?? map,
    },
    ...Object.fromEntries(tensors.map((inShard, i) => [names[i]!, shard(...inShard)])),
  };
}

describe("sniffing", () => {
  it.each([
    ["a folder with model.safetensors", { "model.safetensors": "", "config.json": CONFIG }, true],
    ["a folder with an index", { [INDEX]: "{}" }, true],
    ["a folder with a pickle", { "pytorch_model.bin": "", "config.json": CONFIG }, false],
    ["an empty folder", {}, false],
    [
      "a folder of another quantization",
      {
        "model.safetensors": "",
        "config.json": { quantization_config: { quant_method: "gptq" } },
      },
      true,
    ],
    [
      "a folder packed by SpInfer",
      {
        "model.safetensors": "",
        "config.json": { quantization_config: { quant_method: "spinfer" } },
      },
      false,
    ],
    ["a folder with a damaged config", { "model.safetensors": "", "config.json": "{" }, true],
  ])("%s: %s", async (_, contents, expected) => {
    expect(await safetensors.sniff(memoryFiles(contents))).toBe(expected);
  });

  it.each([
    ["a .safetensors file, whatever is in it", "x.safetensors", "GGUF", true],
    ["a file without extension that begins like one", "blob", shard("a"), true],
    ["a short file", "blob", "{", false],
    ["a file that only looks like JSON", "blob", '{"a":1}{"a":1}', false],
    ["another file", "x.gguf", "GGUF0000000000000000", false],
  ])("%s: file %s", async (_, name, content, expected) => {
    expect(await safetensors.sniff(memoryFiles({ [name]: content }, true))).toBe(expected);
  });
});

describe("opening", () => {
  it("gives the entries of one file, with their bytes in it", async () => {
    const file = writeSafetensors([tensor("b", [3, 4]), tensor("a", [1, 2, 9])]);
    const archive = await safetensors.open(memoryFiles({ "x.safetensors": file }, true), options);
    expect(archive).toMatchObject({ format: "safetensors", config: undefined, sideFiles: [] });
    expect(archive.tensorFiles).toEqual([{ name: "x.safetensors", bytes: file.length }]);
    for (const entry of archive.entries) {
      const [extent, ...more] = entry.extents;
      expect(more).toEqual([]);
      expect(extent).toMatchObject({ file: "x.safetensors" });
      expect(file.slice(extent!.begin, extent!.end)).toEqual(
        entry.name === "a" ? Uint8Array.of(1, 2, 9) : Uint8Array.of(3, 4),
      );
      expect(entry.stored).toBe("plain");
      expect(entry.encoding).toBeUndefined();
    }
    expect(archive.entries.map(({ name }) => name)).toEqual(["a", "b"]);
  });

  it("gives the entries of all shards, by file and offset", async () => {
    const archive = await safetensors.open(memoryFiles(sharded([["c", "a"], ["b"]])), options);
    expect(archive.entries.map(({ name, extents }) => [name, extents[0]?.file])).toEqual([
      ["a", "1.safetensors"],
      ["c", "1.safetensors"],
      ["b", "2.safetensors"],
    ]);
    expect(archive.config).toEqual(CONFIG);
    expect(archive.tensorFiles.map(({ name }) => name)).toEqual(["1.safetensors", "2.safetensors"]);
    expect(archive.warnings).toEqual([]);
  });

  it("takes the one file of another name", async () => {
    const files = memoryFiles({ "consolidated.safetensors": shard("a"), "config.json": CONFIG });
    const archive = await safetensors.open(files, options);
    expect(archive.tensorFiles[0]?.name).toBe("consolidated.safetensors");
  });

  it("does not guess among several files", async () => {
    const files = memoryFiles({ "x.safetensors": shard("a"), "y.safetensors": shard("b") });
    const error = await refusal(() => safetensors.open(files, options));
    expect(error).toMatchObject({ code: "E_MODEL_UNRECOGNISED" });
    expect(error.message).toContain("not clear which safetensors files are the model");
    expect(error.detail.found).toBe("x.safetensors, y.safetensors");
  });

  it("SH-09 prefers the single file to the index, as transformers does, and says so", async () => {
    const files = memoryFiles({ ...sharded([["a"], ["b"]]), "model.safetensors": shard("whole") });
    const archive = await safetensors.open(files, options);
    expect(archive.entries.map(({ name }) => name)).toEqual(["whole"]);
    expect(archive.warnings.join("\n")).toContain(
      `both model.safetensors and ${INDEX} are there; model.safetensors was used`,
    );
    expect(archive.warnings.join("\n")).toContain("not read: 1.safetensors, 2.safetensors");
  });

  it("ST-29 does not look at values: NaN and infinities pass", async () => {
    const values = new Uint8Array(Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY).buffer);
    const file = writeSafetensors([{ name: "w", dtype: "F32", shape: [2], bytes: values }]);
    const archive = await safetensors.open(memoryFiles({ "x.safetensors": file }, true), options);
    const { begin, end } = archive.entries[0]!.extents[0]!;
    expect(file.slice(begin, end)).toEqual(values);
  });

  it("SH-15 takes odd and 3-D shapes as they are", async () => {
    const shapes = [[63], [64, 65], [2, 3, 5], [4095, 1], [1, 1]];
    const tensors = shapes.map((shape, i) => {
      const bytes = new Uint8Array(shape.reduce((a, b) => a * b, 2));
      return { name: `t${i}`, dtype: "BF16" as const, shape, bytes };
    });
    const files = memoryFiles({ "x.safetensors": writeSafetensors(tensors) }, true);
    const archive = await safetensors.open(files, options);
    expect(archive.entries.map(({ shape }) => shape)).toEqual(shapes);
  });

  it("checks every header before it returns anything", async () => {
    const contents = { ...sharded([["a"], ["b"]]), "2.safetensors": rawSafetensors("{", 2) };
    const error = await refusal(() => safetensors.open(memoryFiles(contents), options));
    expect(error).toMatchObject({ code: "E_ST_JSON", detail: { path: "model/2.safetensors" } });
  });

  it("warns of another quantization and still opens", async () => {
    const config = { ...CONFIG, quantization_config: { quant_method: "GPTQ" } };
    const files = memoryFiles({ "model.safetensors": shard("a"), "config.json": config });
    const archive = await safetensors.open(files, options);
    expect(archive.warnings.join()).toContain("already quantized (gptq)");
    expect(archive.config).toEqual(config);
  });
});

describe("an index and its shards", () => {
  it("SH-03 names all missing shards at once", async () => {
    const contents: Record<string, Uint8Array | object> = sharded([["a"], ["b"], ["c"]]);
    delete contents["2.safetensors"];
    delete contents["3.safetensors"];
    const error = await refusal(() => safetensors.open(memoryFiles(contents), options));
    expect(error).toMatchObject({ code: "E_SHARD_MISSING", exit: 3 });
    expect(error.message).toContain("2 of 3 shards are missing: 2.safetensors, 3.safetensors");
  });

  it("SH-04 gives both lists when index and shards differ", async () => {
    const weight_map = { a: "1.safetensors", ghost: "2.safetensors", moved: "1.safetensors" };
    const contents = sharded([["a"], ["b", "moved"]], { weight_map });
    const error = await refusal(() => safetensors.open(memoryFiles(contents), options));
    expect(error).toMatchObject({ code: "E_INDEX_MISMATCH", exit: 3 });
    expect(error.message).toContain("1 in the shards but not in the index: b");
    expect(error.message).toContain("1 in the index but not in the shards: ghost");
    expect(error.message).toContain("1 in another shard than the index says: moved");
  });

  it("SH-04 shortens long lists", async () => {
    const names = Array.from({ length: 25 }, (_, i) => `t${i}`);
    const contents = sharded([names], { weight_map: { t0: "1.safetensors" } });
    const error = await refusal(() => safetensors.open(memoryFiles(contents), options));
    expect(error.message).toContain("24 in the shards but not in the index");
    expect(error.message).toContain("and 14 more");
  });

  it("SH-05 refuses a tensor that is in two shards", async () => {
    const contents = sharded([
      ["a", "x"],
      ["b", "x"],
    ]);
    const error = await refusal(() => safetensors.open(memoryFiles(contents), options));
    expect(error).toMatchObject({ code: "E_INDEX_DUP", detail: { tensor: "x" } });
    expect(error.message).toContain('is in "1.safetensors" and in "2.safetensors"');
  });

  it("SH-08 warns of a wrong total_size", async () => {
    const archive = await safetensors.open(
      memoryFiles(sharded([["a"], ["b"]], { total_size: 5 })),
      options,
    );
    expect(archive.warnings.join()).toContain("total_size is 5, but the tensors have 4 bytes");
  });

  it("SH-10 reads no shard that the index does not name", async () => {
    const contents = { ...sharded([["a"]]), "old-00001.safetensors": "not safetensors at all" };
    const archive = await safetensors.open(memoryFiles(contents), options);
    expect(archive.entries.map(({ name }) => name)).toEqual(["a"]);
    expect(archive.warnings.join()).toContain("not read: old-00001.safetensors");
  });
});

describe("SH-11 config.json", () => {
  const withConfig = (config: string | undefined) =>
    memoryFiles({
      "model.safetensors": shard("a"),
      ...(config === undefined ? {} : { "config.json": config }),
    });

  it.each([
    ["is missing", undefined, "the folder has no config.json"],
    ["is not JSON", "{", "config.json: not valid at byte 1"],
    ["is not an object", "[1]", "it is not an object"],
    ["has a key twice", '{"a":1,"a":2}', "is there twice"],
    ["is cut", '{"a":"', "a string is not closed"],
    ["is not UTF-8", '{"\\ud800":1}', "half of a surrogate pair"],
    ["is too large", `{"a":"${"x".repeat(10 * 2 ** 20)}"}`, "over the limit of 10485760"],
    ["is nested without end", `{"a":${"[".repeat(100_000)}`, "more than 64 levels"],
  ])("is refused when it %s", async (_, config, reason) => {
    const error = await refusal(() => safetensors.open(withConfig(config), options));
    expect(error).toMatchObject({ code: "E_CONFIG", exit: 3 });
    expect(error.message).toContain(reason);
  });

  it("keeps the order of keys, NaN and Infinity, and a harmless __proto__", async () => {
    const text = '{"z":1,"a":[0.0,Infinity,-Infinity,NaN],"__proto__":{"polluted":true},"m":1e-05}';
    const { config } = await safetensors.open(withConfig(text), options);
    expect(Object.keys(config!)).toEqual(["z", "a", "__proto__", "m"]);
    expect(config?.["a"]).toEqual([0, Infinity, -Infinity, Number.NaN]);
    expect(config?.["m"]).toBe(1e-5);
    expect((config as { polluted?: boolean }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(config)).toBe(Object.prototype);
  });
});

describe("side files", () => {
  it("are what a model folder needs beside its tensors, and nothing else", async () => {
    const travels = [
      "LICENSE",
      "LICENSE.md",
      "NOTICE.txt",
      "USE_POLICY.md",
      "added_tokens.json",
      "chat_template.jinja",
      "generation_config.json",
      "merges.txt",
      "preprocessor_config.json",
      "special_tokens_map.json",
      "tokenizer.json",
      "tokenizer.model",
      "tokenizer_config.json",
      "vocab.json",
    ];
    const stays = [
      ".gitattributes",
      ".hidden.json",
      "README.md",
      "flax_model.msgpack",
      "model.gguf",
      "model.onnx",
      "modeling_custom.py",
      "original.pth",
      "other.safetensors",
      "pytorch_model.bin",
      "pytorch_model.bin.index.json",
      "recipe.yaml",
      "spinfer_manifest.json",
      "tf_model.h5",
      "weights.pt",
    ];
    const contents = Object.fromEntries([...travels, ...stays].map((name) => [name, "x"]));
    const files = memoryFiles({
      ...contents,
      "config.json": CONFIG,
      "model.safetensors": shard("a"),
    });
    const opened = await openSafetensorsFiles(files, options);
    expect(opened.sideFiles.map(({ name }) => name)).toEqual([...travels].sort());
    expect(opened.codeFiles).toEqual(["modeling_custom.py"]);
    expect(opened.warnings.join()).toContain("never run and not copied: modeling_custom.py");
  });
});
