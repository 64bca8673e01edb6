/** Whole runs on synthetic models: what comes out is recomputed here, from the bytes that went in. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { type Manifest, readManifest } from "../../src/pipeline/manifest.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { readTensor } from "../../src/pipeline/readTensor.ts";
import { verifyCheckpoint } from "../../src/pipeline/verify.ts";
import {
  bitsOf,
  dropLeast,
  fileBytes,
  folderHashes,
  gpt2,
  headerOf,
  leftovers,
  llama,
  type ModelFolder,
  type ModelTensor,
  prunedBytes,
  randomTensor,
  stackedExperts,
  storedTensors,
  temporaryFolder,
  withBytes,
  writeModel,
} from "../helpers/models.ts";
import { createRandom } from "../helpers/random.ts";
import { refusal } from "../helpers/safetensorsFile.ts";
import { convertRecipe, pruneRecipe, runOn } from "./recipes.ts";

const LINEAR = /layers\.\d+\.(?:self_attn|mlp)\.\w+_proj\.weight$/;

function manifestOf(output: string): Manifest {
  const path = join(output, "spinfer_manifest.json");
  return readManifest(readFileSync(path), path);
}

/** Every tensor of a checkpoint, decoded, must be what `expected` says. */
async function expectTensors(
  output: string,
  tensors: readonly ModelTensor[],
  expected: (tensor: ModelTensor) => Uint8Array,
): Promise<void> {
  const opened = await openModel(output, { keepUnknown: true });
  expect(opened.archive.entries.map(({ name }) => name).sort()).toEqual(
    tensors.map(({ name }) => name).sort(),
  );
  for (const tensor of tensors) {
    const { entry, bytes } = readTensor(opened, tensor.name);
    expect(entry.shape).toEqual(tensor.shape);
    expect(Buffer.compare(bytes, expected(tensor)), tensor.name).toBe(0);
  }
}

function untouched({ data }: ModelTensor): Uint8Array {
  if (typeof data === "number") throw new Error("a hole");
  return data;
}

const halfPruned = (tensor: ModelTensor): Uint8Array =>
  LINEAR.test(tensor.name) ? prunedBytes(tensor, 0.5) : untouched(tensor);

async function expectVerified(output: string): Promise<void> {
  const report = await verifyCheckpoint(output, { level: "full", keepUnknown: true });
  expect(report.findings).toEqual([]);
  expect(report.ok).toBe(true);
}

describe("prune", () => {
  test("writes tile-bitmap by default: the least half of every linear layer is zero, the rest as it was", async () => {
    const model = llama();
    const { output, report, folder } = await runOn(model, pruneRecipe());
    await expectTensors(output, model.tensors, halfPruned);
    expect(report).toMatchObject({ format: "tile-bitmap", pruned: 14, packed: 14, tensors: 21 });
    expect(report.sparsity).toBe(0.5);
    expect(leftovers(output)).toEqual([]);
    expect(readdirSync(folder).sort()).toEqual(["model", "out"]);
    await expectVerified(output);
  });

  test("writes dense safetensors with the same values with --to dense", async () => {
    const model = llama({ dtype: "BF16" });
    const { output } = await runOn(model, pruneRecipe({}, { to: "dense" }));
    const stored = storedTensors(output);
    for (const tensor of model.tensors)
      expect(Buffer.compare(untouched(stored.get(tensor.name)!), halfPruned(tensor))).toBe(0);
    expect(JSON.parse(readFileSync(join(output, "config.json"), "utf8"))).toEqual(model.config);
    await expectVerified(output);
  });

  test("packed, converted to dense, packed again: the same weights and the same packed bytes", async () => {
    const model = llama({ layers: 1 });
    const { output, folder } = await runOn(model, pruneRecipe());
    const dense = join(folder, "dense");
    await executeRecipe(output, dense, convertRecipe({ to: "dense" }));
    await expectTensors(dense, model.tensors, halfPruned);
    await expectVerified(dense);
    const again = join(folder, "again");
    await executeRecipe(dense, again, convertRecipe());
    expect(storedTensors(again)).toEqual(storedTensors(output));
    await expectVerified(again);
  });

  test.each([0, 0.1, 0.9, 0.99])("sparsity %s is exact to the weight", async (sparsity) => {
    const model = llama({ layers: 1, hidden: 48, inner: 100 });
    const { output, report } = await runOn(model, pruneRecipe({ sparsity }));
    await expectTensors(output, model.tensors, (tensor) =>
      LINEAR.test(tensor.name) ? prunedBytes(tensor, sparsity) : untouched(tensor),
    );
    // what the random weights are at 0 by themselves is no more than one in a thousand
    expect(report.sparsity).toBeGreaterThanOrEqual(sparsity - 0.001);
    expect(report.sparsity).toBeLessThan(sparsity + 0.002);
  });

  test("scope row drops as many in every row", async () => {
    const model = llama({ layers: 1, dtype: "BF16" });
    const { output } = await runOn(model, pruneRecipe({ options: { scope: "row" } }));
    await expectTensors(output, model.tensors, (tensor) =>
      LINEAR.test(tensor.name) ? prunedBytes(tensor, 0.5, { scope: "row" }) : untouched(tensor),
    );
  });

  test.each(["F16", "F32"] as const)(
    "scope model drops exactly the least of all layers together, in order of file and index (%s)",
    async (dtype) => {
      const model = llama({ layers: 2, dtype });
      const recipe = pruneRecipe(
        { sparsity: 0.37, options: { scope: "model" } },
        { to: "dense", ...(dtype === "F32" ? { dtype } : {}) },
      );
      const { output } = await runOn(model, recipe);
      const linear = model.tensors.filter(({ name }) => LINEAR.test(name));
      const parts = linear.map(bitsOf);
      const all = dtype === "F32" ? Uint32Array : Uint16Array;
      const joined = new all(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        joined.set(part, at);
        at += part.length;
      }
      dropLeast(joined, Math.floor(joined.length * 0.37));
      const width = dtype === "F32" ? 4 : 2;
      const bytes = new Uint8Array(joined.buffer);
      const expected = new Map<string, Uint8Array>();
      at = 0;
      for (const [i, { name }] of linear.entries()) {
        expected.set(name, bytes.subarray(at * width, (at + parts[i]!.length) * width));
        at += parts[i]!.length;
      }
      await expectTensors(
        output,
        model.tensors,
        (tensor) => expected.get(tensor.name) ?? untouched(tensor),
      );
      await expectVerified(output);
    },
  );

  test("2:4 keeps two of every four inputs", async () => {
    const model = llama({ layers: 1 });
    const { output } = await runOn(model, pruneRecipe({ pattern: "2:4", sparsity: 0.5 }));
    await expectTensors(output, model.tensors, (tensor) => {
      if (!LINEAR.test(tensor.name)) return untouched(tensor);
      const bits = bitsOf(tensor);
      for (let i = 0; i < bits.length; i += 4) dropLeast(bits.subarray(i, i + 4), 2);
      return new Uint8Array(bits.buffer);
    });
  });

  test("GPT-2's Conv1D matrices are pruned and packed by outputs, and come back as [in, out]", async () => {
    const model = gpt2();
    const recipe = pruneRecipe({ options: { scope: "row" } });
    const { output, folder } = await runOn(model, recipe);
    const expected = (tensor: ModelTensor): Uint8Array =>
      /\.(?:c_attn|c_fc|c_proj)\.weight$/.test(tensor.name)
        ? prunedBytes(tensor, 0.5, { scope: "row", swapped: true })
        : untouched(tensor);
    const packed = (await openModel(output)).archive.entries.find(({ name }) =>
      name.endsWith("c_attn.weight"),
    );
    expect(packed).toMatchObject({
      shape: [64, 192],
      encoding: { rows: 192, cols: 64, transposed: true },
    });
    await expectTensors(output, model.tensors, expected);
    await expectVerified(output);
    const dense = join(folder, "dense");
    await executeRecipe(output, dense, convertRecipe({ to: "dense" }));
    await expectTensors(dense, model.tensors, expected);
  });

  test("SH-15 stacked experts are pruned one by one with --to dense", async () => {
    const model = stackedExperts();
    const { output } = await runOn(model, pruneRecipe({}, { to: "dense" }));
    await expectTensors(output, model.tensors, (tensor) => {
      if (tensor.name.endsWith("q_proj.weight")) return prunedBytes(tensor, 0.5);
      if (tensor.shape.length < 3) return untouched(tensor);
      const bits = bitsOf(tensor);
      const size = tensor.shape[1]! * tensor.shape[2]!;
      for (let i = 0; i < 3; i++)
        dropLeast(bits.subarray(i * size, (i + 1) * size), Math.floor(size / 2));
      return new Uint8Array(bits.buffer);
    });
    expect(manifestOf(output).tensors["model.layers.0.mlp.gate.weight"]?.reason).toBe("a router");
    await expectVerified(output);
  });

  test("SH-15 stacked experts are refused for tile-bitmap, before anything is written", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), stackedExperts());
    const error = await refusal(() => executeRecipe(model, join(folder, "out"), pruneRecipe()));
    expect(error.code).toBe("E_SHAPE_UNSUPPORTED");
    expect(error.message).toContain("stacks 3 experts");
    expect(readdirSync(folder)).toEqual(["model"]);
  });

  test.each([
    [63, 65],
    [64, 64],
    [65, 4095],
    [1, 1],
    [33, 2],
  ])("SH-15 a layer of %i × %i comes back in its own shape", async (rows, cols) => {
    const random = createRandom(rows * 7919 + cols);
    const name = "model.layers.0.mlp.up_proj.weight";
    const model = {
      tensors: [randomTensor(random, name, [rows, cols])],
      config: { model_type: "x" },
    };
    const { output } = await runOn(model, pruneRecipe());
    await expectTensors(output, model.tensors, (tensor) => prunedBytes(tensor, 0.5));
    await expectVerified(output);
  });

  test("F32 sources become f16, and the report counts what no longer fits", async () => {
    const name = "model.layers.0.mlp.up_proj.weight";
    const values = new Float32Array(64 * 64).fill(0.25);
    values.set([1e6, -1e6, 1e-9, Number.NaN, Number.POSITIVE_INFINITY], 100);
    const tensor = { name, dtype: "F32", shape: [64, 64], data: new Uint8Array(values.buffer) };
    const model = { tensors: [tensor], config: { model_type: "x", torch_dtype: "float32" } };
    const { output, report } = await runOn(model, pruneRecipe({ sparsity: 0.25 }));
    expect(report).toMatchObject({ overflowed: 2, underflowed: 1, nonfinite: 4, packed: 1 });
    expect(report.warnings.join("\n")).toMatch(
      /2 values became infinite.*\n.*1 values became zero/,
    );
    expect(manifestOf(output).tensors[name]).toMatchObject({
      dtype: "F16",
      overflowed: 2,
      underflowed: 1,
    });
    expect(JSON.parse(readFileSync(join(output, "config.json"), "utf8")).torch_dtype).toBe(
      "float16",
    );
    const { bytes } = readTensor(await openModel(output), name);
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, 64 * 64);
    // the underflowed one goes first, then the first of the equal ones
    expect([...bits.subarray(98, 106)]).toEqual([0, 0, 0x7c00, 0xfc00, 0, 0x7e00, 0x7c00, 0]);
    await expectVerified(output);
  });

  test("ST-29 NaN and infinity are kept and reported, and refused when the recipe says so", async () => {
    const [tensor] = llama({ layers: 1 }).tensors.slice(2);
    const bits = bitsOf(tensor!);
    bits[5] = 0x7e01;
    bits[6] = 0xfc00;
    const model = {
      tensors: [withBytes(tensor!, new Uint8Array(bits.buffer))],
      config: { model_type: "x" },
    };
    const { output, report } = await runOn(model, pruneRecipe({ sparsity: 0.9 }));
    expect(report.nonfinite).toBe(2);
    const { bytes } = readTensor(await openModel(output), tensor!.name);
    expect([...new Uint16Array(bytes.buffer, bytes.byteOffset, 8)].slice(5, 7)).toEqual([
      0x7e01, 0xfc00,
    ]);
    const folder = temporaryFolder();
    const source = writeModel(join(folder, "model"), model);
    const strict = pruneRecipe({}, { strictFinite: true });
    const error = await refusal(() => executeRecipe(source, join(folder, "out"), strict));
    expect(error).toMatchObject({ code: "E_NONFINITE", exit: 4 });
    expect(error.detail.tensor).toBe(tensor!.name);
    expect(readdirSync(folder)).toEqual(["model"]);
  });

  test("mixed BF16 and F32: weights stay BF16, fp32 norms stay fp32", async () => {
    const model = llama({ dtype: "BF16", normDtype: "F32" });
    const { output } = await runOn(model, pruneRecipe());
    await expectTensors(output, model.tensors, halfPruned);
    const dtypes = new Set((await openModel(output)).archive.entries.map(({ dtype }) => dtype));
    expect(dtypes).toEqual(new Set(["BF16", "F32"]));
    await expectVerified(output);
  });

  test("tensors of all other kinds go through untouched: empty, rank 0, I64, BOOL, F8, F64", async () => {
    const random = createRandom(9);
    const tensors = [
      ...llama({ layers: 1 }).tensors,
      randomTensor(random, "empty", [0, 7], "F32"),
      randomTensor(random, "scalar", [], "F64"),
      randomTensor(random, "model.position_ids", [1, 5], "I64"),
      randomTensor(random, "mask", [3], "BOOL"),
      randomTensor(random, "scales", [5], "F8_E4M3"),
      randomTensor(random, "model.layers.0.rotary_emb.inv_freq", [8], "F32"),
    ];
    const { output } = await runOn({ ...llama({ layers: 1 }), tensors }, pruneRecipe());
    await expectTensors(output, tensors, halfPruned);
    const { dataBegin, entries } = headerOf(join(output, "model.safetensors"));
    expect(dataBegin % 64).toBe(0);
    for (const [name, { dtype, data_offsets }] of Object.entries(entries)) {
      const width = { F64: 8, I64: 8, F32: 4, F16: 2 }[dtype] ?? 1;
      expect(data_offsets[0] % width, `${name} is aligned`).toBe(0);
    }
    await expectVerified(output);
  });

  test("ST-22 a tensor of unknown dtype is refused, or copied when asked for", async () => {
    const odd: ModelTensor = {
      name: "odd",
      dtype: "F7",
      shape: [3],
      data: new Uint8Array([1, 2, 3]),
    };
    const model = { ...llama({ layers: 1 }), tensors: [...llama({ layers: 1 }).tensors, odd] };
    const error = await refusal(() => runOn(model, pruneRecipe()));
    expect(error).toMatchObject({ code: "E_ST_DTYPE_UNSUPPORTED", exit: 9 });
    const { output } = await runOn(model, pruneRecipe(), { keepUnknown: true });
    await expectTensors(output, model.tensors, halfPruned);
  });

  test("SH-13 a tied model is pruned once, and its flag stays", async () => {
    const model = llama({ tied: true });
    const { output } = await runOn(model, pruneRecipe());
    await expectTensors(output, model.tensors, halfPruned);
    expect(JSON.parse(readFileSync(join(output, "config.json"), "utf8")).tie_word_embeddings).toBe(
      true,
    );
  });

  test("SH-14 a quantized model is refused with its method", async () => {
    const model = {
      ...llama(),
      config: { ...llama().config, quantization_config: { quant_method: "gptq", bits: 4 } },
    };
    const error = await refusal(() => runOn(model, pruneRecipe()));
    expect(error).toMatchObject({ code: "E_QUANTIZED_INPUT", exit: 9 });
    expect(error.message).toContain("gptq, 4 bits");
  });

  test("SH-12 a config.json of another model is refused", async () => {
    const model = { ...llama(), config: { ...llama().config, hidden_size: 128 } };
    const error = await refusal(() => runOn(model, pruneRecipe()));
    expect(error.code).toBe("E_ARCH_SHAPE");
    expect(error.message).toContain("has 64 columns, expected 128");
  });

  test("side files travel, weights in other formats and code do not", async () => {
    const model: ModelFolder = {
      ...llama(),
      files: {
        "tokenizer.json": "{}",
        "chat_template.jinja": "{{ x }}",
        LICENSE: "Apache",
        "pytorch_model.bin": "weights",
        "modeling_x.py": "print()",
        "README.md": "# card",
      },
    };
    const { output } = await runOn(model, pruneRecipe());
    expect(readdirSync(output).sort()).toEqual([
      "LICENSE",
      "chat_template.jinja",
      "config.json",
      "model.safetensors",
      "recipe.yaml",
      "spinfer_manifest.json",
      "tokenizer.json",
    ]);
    expect(readFileSync(join(output, "chat_template.jinja"), "utf8")).toBe("{{ x }}");
  });
});

describe("the manifest", () => {
  test("says for every tensor what it is, and why a matrix stayed dense", async () => {
    const model = llama({ layers: 1 });
    const recipe = pruneRecipe({
      sparsity: 0.05,
      ignore: ["*.q_proj"],
      overrides: [
        { targets: ["*.k_proj"], skip: true, options: {} },
        { targets: ["*.down_proj"], skip: false, sparsity: 0.75, options: {} },
      ],
    });
    const { output } = await runOn(model, recipe);
    const { tensors } = manifestOf(output);
    const block = "model.layers.0";
    expect(tensors[`${block}.self_attn.q_proj.weight`]).toMatchObject({
      stored: "dense",
      reason: "ignored",
    });
    expect(tensors[`${block}.self_attn.k_proj.weight`]?.reason).toBe("an override skips it");
    expect(tensors[`${block}.self_attn.v_proj.weight`]).toMatchObject({
      stored: "dense",
      reason: "packed it would not be smaller",
      nnz: 4096 - 204,
      pruned: { method: "magnitude", sparsity: 0.05 },
    });
    expect(tensors[`${block}.mlp.down_proj.weight`]).toMatchObject({
      stored: "tile-bitmap",
      nnz: 2560,
    });
    expect(tensors["lm_head.weight"]?.reason).toBe("the output head");
    expect(tensors["model.embed_tokens.weight"]?.reason).toBe("an embedding");
  });

  test("says why a weight whose zeros were not known beforehand stayed dense", async () => {
    const { output } = await runOn(llama({ layers: 1 }), convertRecipe());
    const { tensors } = manifestOf(output);
    expect(tensors["model.layers.0.mlp.up_proj.weight"]).toMatchObject({
      stored: "dense",
      reason: "packed it would not be smaller",
    });
    await expectVerified(output);
  });

  test("convert packs what was pruned elsewhere, and leaves the rest dense", async () => {
    const model = llama({ layers: 1 });
    const tensors = model.tensors.map((tensor) =>
      /up_proj|down_proj/.test(tensor.name) ? withBytes(tensor, prunedBytes(tensor, 0.6)) : tensor,
    );
    const { output, report } = await runOn({ ...model, tensors }, convertRecipe());
    expect(report).toMatchObject({ pruned: 0, packed: 2 });
    await expectTensors(output, tensors, untouched);
    await expectVerified(output);
  });

  test("with dtype f32 nothing is packed, and the manifest says so", async () => {
    const { output, report } = await runOn(llama({ layers: 1 }), pruneRecipe({}, { dtype: "F32" }));
    expect(report.packed).toBe(0);
    expect(manifestOf(output).tensors["model.layers.0.mlp.up_proj.weight"]).toMatchObject({
      stored: "dense",
      dtype: "F32",
      reason: "tile-bitmap holds 16-bit values, not F32",
    });
    await expectVerified(output);
  });

  test("PA-09 holds no absolute path and nothing of the environment", async () => {
    process.env["HF_TOKEN"] = "hf_secretsecret";
    const { output, folder } = await runOn(llama({ layers: 1 }), pruneRecipe());
    delete process.env["HF_TOKEN"];
    for (const name of readdirSync(output)) {
      const text = readFileSync(join(output, name), "latin1");
      expect(text).not.toContain("hf_secret");
      expect(text).not.toContain(folder);
    }
    expect(manifestOf(output).source.model).toBe("../model");
  });
});

describe("shards", () => {
  test("are numbered, indexed, and within the limit, header and all", async () => {
    const model = llama({ layers: 4 });
    const limit = 40_000;
    const { output, report } = await runOn(model, pruneRecipe({}, { maxShardBytes: limit }));
    const files = readdirSync(output).filter((name) => name.endsWith(".safetensors"));
    expect(files.length).toBeGreaterThan(4);
    const of = String(files.length).padStart(5, "0");
    expect(files).toEqual(
      files.map((_, i) => `model-${String(i + 1).padStart(5, "0")}-of-${of}.safetensors`),
    );
    for (const file of files)
      expect(fileBytes(join(output, file)), file).toBeLessThanOrEqual(limit);
    const index = JSON.parse(readFileSync(join(output, "model.safetensors.index.json"), "utf8"));
    const places = files.flatMap((file) =>
      Object.entries(headerOf(join(output, file)).entries).map(([name, { data_offsets }]) => ({
        name,
        file,
        data_offsets,
      })),
    );
    expect(index.weight_map).toEqual(
      Object.fromEntries(places.map(({ name, file }) => [name, file])),
    );
    const total = places.reduce((sum, { data_offsets: [begin, end] }) => sum + end - begin, 0);
    expect(index.metadata.total_size).toBe(total);
    expect(report.bytesOut).toBe(
      files.reduce((sum, file) => sum + fileBytes(join(output, file)), 0),
    );
    await expectTensors(output, model.tensors, halfPruned);
    await expectVerified(output);
  });

  test("a tensor over the limit has a file of its own", async () => {
    const model = llama({ layers: 1 });
    const { output } = await runOn(model, pruneRecipe({}, { maxShardBytes: 5000 }));
    for (const file of readdirSync(output).filter((name) => name.endsWith(".safetensors"))) {
      if (fileBytes(join(output, file)) <= 5000) continue;
      const names = Object.keys(headerOf(join(output, file)).entries);
      expect(new Set(names.map((name) => name.replace(/_meta$/, ""))).size).toBe(1);
    }
    await expectTensors(output, model.tensors, halfPruned);
  });

  test("SH-08 a sharded source is read through its index, and a wrong total_size is put right", async () => {
    const folder = temporaryFolder();
    const model = llama({ layers: 2 });
    const source = writeModel(join(folder, "model"), { ...model, shardBytes: 30_000 });
    const path = join(source, "model.safetensors.index.json");
    const { writeFileSync } = await import("node:fs");
    const index = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...index, metadata: { total_size: 1 } }));
    const output = join(folder, "out");
    const report = await executeRecipe(source, output, pruneRecipe());
    expect(report.warnings.join()).toContain("total_size is 1");
    expect(existsSync(join(output, "model.safetensors.index.json"))).toBe(false);
    await expectTensors(output, model.tensors, halfPruned);
    await expectVerified(output);
  });
});

describe("a model that is one file", () => {
  test("is pruned into a folder beside it", async () => {
    const folder = temporaryFolder();
    const model = llama({ layers: 1 });
    writeModel(folder, { tensors: model.tensors });
    const output = join(folder, "out");
    await executeRecipe(join(folder, "model.safetensors"), output, pruneRecipe());
    await expectTensors(output, model.tensors, halfPruned);
    expect(manifestOf(output).source.model).toBe("../model.safetensors");
    await expectVerified(output);
  });
});

describe("a cancelled run", () => {
  test("WR-03 goes on where it was: what was finished is not done again", async () => {
    const { output: undisturbed } = await runOn(llama(), pruneRecipe());
    const expected = folderHashes(undisturbed);
    for (const after of [1, 6, 15, 21]) {
      const folder = temporaryFolder();
      const model = writeModel(join(folder, "model"), llama());
      const output = join(folder, "out");
      const controller = new AbortController();
      let finished = 0;
      const error = await refusal(() =>
        executeRecipe(model, output, pruneRecipe(), {
          signal: controller.signal,
          onEvent: (event) => {
            if (event.type !== "item" || event.phase !== "prune") return;
            finished++;
            if (finished === after) controller.abort();
          },
        }),
      );
      expect(error).toMatchObject({ code: "E_CANCELLED", exit: 130 });
      expect(existsSync(output)).toBe(false);
      const report = await executeRecipe(model, output, pruneRecipe(), { unfinished: "resume" });
      expect(report.resumedTensors).toBe(finished);
      expect(folderHashes(output)).toEqual(expected);
      expect(leftovers(output)).toEqual([]);
    }
  });
});

describe("WR-18 determinism", () => {
  test("two runs and other shard orders give the same bytes", async () => {
    const recipe = pruneRecipe();
    const [first, second] = [await runOn(llama(), recipe), await runOn(llama(), recipe)];
    expect(folderHashes(second.output)).toEqual(folderHashes(first.output));
    expect(second.report.manifestSha256).toBe(first.report.manifestSha256);
  });
});
