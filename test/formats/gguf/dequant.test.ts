import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { DEQUANTIZERS } from "../../../formats/gguf/dequant/index.ts";
import { TENSOR_TYPES, type TensorType } from "../../../formats/gguf/types.ts";
import { describePython, runPython } from "../../helpers/python.ts";
import { createRandom } from "../../helpers/random.ts";
import { firstDifference, randomBlocks } from "./blocks.ts";

const TYPES = Object.keys(TENSOR_TYPES) as TensorType[];
const SCRIPT = fileURLToPath(new URL("python/dequantize.py", import.meta.url));
const GOLDEN = fileURLToPath(new URL("../../golden/gguf/dequant.json", import.meta.url));

function dequantize(type: TensorType, blocks: Uint8Array): Uint8Array {
  const { blockWeights, blockBytes } = TENSOR_TYPES[type];
  const values = new Float32Array((blocks.length / blockBytes) * blockWeights);
  DEQUANTIZERS[type](blocks, 0, values, values.length);
  return new Uint8Array(values.buffer);
}

describePython("the dequantisers beside the gguf package", () => {
  it.each(TYPES)("GG-14 give %s the same bits on 20,000 weights of random blocks", (type) => {
    const { blockWeights } = TENSOR_TYPES[type];
    const count = Math.ceil(20_000 / blockWeights);
    const blocks = randomBlocks(type, count, createRandom(14));
    const expected = runPython(SCRIPT, [type], { input: blocks });
    expect(firstDifference(dequantize(type, blocks), expected)).toBeUndefined();
  });
});

interface Golden {
  readonly blocks: string;
  readonly values: string;
}

it.each(TYPES)("GG-14 dequantises the golden blocks of %s", (type) => {
  const golden = JSON.parse(readFileSync(GOLDEN, "utf8")) as Record<TensorType, Golden>;
  const { blocks, values } = golden[type];
  const found = dequantize(type, Buffer.from(blocks, "hex"));
  expect(firstDifference(found, Buffer.from(values, "hex"))).toBeUndefined();
});

it("leaves the values beyond those asked for alone", () => {
  for (const type of TYPES) {
    const { blockWeights } = TENSOR_TYPES[type];
    const target = new Float32Array(3 * blockWeights).fill(7);
    DEQUANTIZERS[type](randomBlocks(type, 3, createRandom(1)), 0, target, 2 * blockWeights);
    expect([...target.subarray(2 * blockWeights)]).toEqual(new Array(blockWeights).fill(7));
  }
});

it.each(TYPES.filter((type) => type.startsWith("Q")))("makes one NaN only from %s", (type) => {
  const blocks = randomBlocks(type, 2000, createRandom(5));
  const bits = new Uint32Array(dequantize(type, blocks).buffer);
  const nans = new Set(bits.filter((value) => (value & 0x7fff_ffff) > 0x7f80_0000));
  expect([...nans]).toEqual([0x7fc0_0000]);
});
