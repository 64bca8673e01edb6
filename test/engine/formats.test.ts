/** The same model gives the same numbers whatever it is stored as. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { weightSource } from "../../src/pipeline/weightSource.ts";
import { fileFolder, randomTensor, writeModel } from "../helpers/models.ts";
import { createRandom } from "../helpers/random.ts";
import { refusal } from "../helpers/safetensorsFile.ts";
import { convertRecipe, pruneRecipe } from "../pipeline/recipes.ts";
import { openFolder, relativeDifference, runBlocks } from "./checkpoints.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const LENGTH = 40;

async function logitsOf(path: string, prefer: "onnxruntime" | "typescript") {
  const model = await openFolder(path, prefer);
  const ids = Int32Array.from({ length: LENGTH }, (_, i) => (i * 31) % model.facts.vocabulary);
  const logits = await model.logits(await runBlocks(model, ids, LENGTH));
  await model.close();
  return logits;
}

describe("a pruned checkpoint", () => {
  const folder = fileFolder();

  it("gives the logits of its dense export when it is packed", async () => {
    const [sparse, dense] = [join(folder, "sparse"), join(folder, "dense")];
    const report = await executeRecipe(DEMO, sparse, pruneRecipe({ sparsity: 0.5 }));
    expect(report.packed).toBeGreaterThan(0);
    await executeRecipe(sparse, dense, convertRecipe({ to: "dense" }));
    const packed = await logitsOf(sparse, "onnxruntime");
    expect(packed).toEqual(await logitsOf(dense, "onnxruntime"));
    // and not those of the model that it was
    expect(relativeDifference(packed, await logitsOf(DEMO, "onnxruntime"))).toBeGreaterThan(1e-3);
    expect(relativeDifference(await logitsOf(sparse, "typescript"), packed)).toBeLessThan(1e-5);
  });
});

describe("weights of a model", () => {
  const folder = fileFolder();
  const random = createRandom(7);
  const tensors = [
    randomTensor(random, "half", [5, 3], "F16"),
    randomTensor(random, "brain", [5, 3], "BF16"),
    randomTensor(random, "float", [5, 3], "F32"),
    { name: "whole", dtype: "I64", shape: [2], data: new Uint8Array(16) },
  ];

  it("are widened without a change, each in an array of its own", async () => {
    const source = weightSource(
      await openModel(writeModel(join(folder, "dtypes"), { config: {}, tensors })),
    );
    for (const { name, data } of tensors.slice(0, 3)) {
      const { shape, values } = await source.read(name);
      expect(shape).toEqual([5, 3]);
      expect(source.shapeOf(name)).toEqual([5, 3]);
      expect(values.byteLength).toBe(values.buffer.byteLength);
      const bytes = Buffer.from(data as Uint8Array);
      for (let i = 0; i < 15; i++) expect(values[i]).toBe(READERS[name]!(bytes, i));
    }
    expect(source.has("half")).toBe(true);
    expect(source.has("other")).toBe(false);
  });

  it("are refused when they are no floats, or not there", async () => {
    const source = weightSource(
      await openModel(writeModel(join(folder, "whole"), { config: {}, tensors })),
    );
    const whole = await refusal(() => source.read("whole"));
    expect(whole.code).toBe("E_DTYPE_UNSUPPORTED");
    expect(whole.detail.found).toBe("I64");
    expect((await refusal(() => source.read("other"))).code).toBe("E_ARCH_TENSOR");
    expect((await refusal(() => source.shapeOf("other"))).code).toBe("E_ARCH_TENSOR");
  });
});

const READERS: Readonly<Record<string, (bytes: Buffer, index: number) => number>> = {
  half: (bytes, index) => {
    const bits = bytes.readUInt16LE(2 * index);
    const sign = bits >> 15 === 0 ? 1 : -1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    return exponent === 0
      ? sign * 2 ** -14 * fraction
      : sign * 2 ** (exponent - 15) * (1 + fraction);
  },
  brain: (bytes, index) => {
    const wide = Buffer.alloc(4);
    wide.writeUInt16LE(bytes.readUInt16LE(2 * index), 2);
    return wide.readFloatLE(0);
  },
  float: (bytes, index) => bytes.readFloatLE(4 * index),
};
