/** The contract of a model that can be run, on every engine. */
import { describe, expect, it } from "vitest";
import type { DenseTensor, ObservedInputs } from "../../src/engine/engine.ts";
import { openRunnable } from "../../src/engine/index.ts";
import { AVAILABLE_ENGINES } from "./availableEngines.ts";
import { relativeDifference, runBlocks } from "./checkpoints.ts";
import { CONFIG, halfModel, randomFloats, randomModel, sourceOf } from "./memorySource.ts";

const LENGTH = 12;
const ids = Int32Array.from({ length: 3 * LENGTH }, (_, i) => (i * 7) % CONFIG.vocab_size);

describe.each(AVAILABLE_ENGINES)("a model on %s", (prefer) => {
  it("says what it is", async () => {
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, { prefer });
    expect(model.engine).toBe(prefer);
    expect(model.facts).toEqual({
      family: "llama",
      blocks: 2,
      hidden: 32,
      vocabulary: 50,
      positions: 64,
    });
    await model.close();
  });

  it("runs windows apart from each other: alone they give the same", async () => {
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, { prefer });
    const together = await runBlocks(model, ids, LENGTH);
    const second = await runBlocks(model, ids.slice(LENGTH, 2 * LENGTH), LENGTH);
    const size = LENGTH * CONFIG.hidden_size;
    expect(relativeDifference(second, together.subarray(size, 2 * size))).toBeLessThan(1e-6);
    await model.close();
  });

  it("looks at no later token", async () => {
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, { prefer });
    const changed = ids.slice(0, LENGTH);
    changed[LENGTH - 1] = (changed[LENGTH - 1]! + 1) % CONFIG.vocab_size;
    const before = await runBlocks(model, ids.slice(0, LENGTH), LENGTH);
    const after = await runBlocks(model, changed, LENGTH);
    const last = (LENGTH - 1) * CONFIG.hidden_size;
    expect(after.slice(0, last)).toEqual(before.slice(0, last));
    expect(after.slice(last)).not.toEqual(before.slice(last));
    await model.close();
  });

  it.each(["F16", "BF16"] as const)("takes matrices of %s as they are stored", async (dtype) => {
    const { wide, stored } = halfModel(CONFIG, dtype);
    const [expected, model] = [
      await openRunnable(CONFIG, wide, { prefer }),
      await openRunnable(CONFIG, stored, { prefer }),
    ];
    expect(await model.embed(ids, LENGTH)).toEqual(await expected.embed(ids, LENGTH));
    const [hidden, other] = [
      await runBlocks(model, ids, LENGTH),
      await runBlocks(expected, ids, LENGTH),
    ];
    expect(hidden).toEqual(other);
    expect(await model.logits(hidden)).toEqual(await expected.logits(hidden));
    await Promise.all([model.close(), expected.close()]);
  });

  it("refuses arrays that are not as long as their shapes say", async () => {
    const { tensors, source } = randomModel(CONFIG);
    const name = "model.layers.0.self_attn.o_proj.weight";
    const short: DenseTensor = { shape: [32, 32], values: randomFloats(32 * 32 - 1, 99) };
    const model = await openRunnable(CONFIG, source, { prefer });
    await expect(model.openBlock(0, new Map([[name, short]]))).rejects.toMatchObject({
      code: "E_ARCH_SHAPE",
      message: expect.stringContaining("has 1023 values, not 1024"),
    });
    const norm = "model.layers.0.input_layernorm.weight";
    const cut = { ...tensors.get(norm)!, values: tensors.get(norm)!.values.subarray(1) };
    const other = await openRunnable(CONFIG, sourceOf(new Map(tensors).set(norm, cut)), { prefer });
    await expect(other.openBlock(0)).rejects.toMatchObject({ code: "E_ARCH_SHAPE" });
    const { wide, stored } = halfModel(CONFIG, "BF16");
    const readHalves = async (of: string) => {
      const whole = await stored.readHalves!(of);
      return whole && { ...whole, halves: whole.halves.subarray(1) };
    };
    const halves = await openRunnable(CONFIG, { ...wide, readHalves }, { prefer });
    await expect(halves.embed(ids, LENGTH)).rejects.toMatchObject({ code: "E_ARCH_SHAPE" });
    await Promise.all([model.close(), other.close(), halves.close()]);
  });

  it("runs a block with other weights, and leaves them to their owner", async () => {
    const { tensors, source } = randomModel(CONFIG);
    const name = "model.layers.0.self_attn.o_proj.weight";
    const other: DenseTensor = { shape: [32, 32], values: randomFloats(32 * 32, 99) };
    const model = await openRunnable(CONFIG, source, { prefer });
    const hidden = await model.embed(ids, LENGTH);
    const replaced = await model.openBlock(0, new Map([[name, other]]));
    const found = await replaced.run(hidden, LENGTH);
    expect(other.values).toEqual(randomFloats(32 * 32, 99));
    const changed = new Map(tensors).set(name, other);
    const expected = await openRunnable(CONFIG, sourceOf(changed), { prefer });
    const block = await expected.openBlock(0);
    expect(found.hidden).toEqual((await block.run(hidden, LENGTH)).hidden);
    await Promise.all([model.close(), expected.close()]);
  });

  it("scores what the logits say", async () => {
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, { prefer });
    // more rows than any engine holds logits of at once
    const rows = 600;
    const hidden = randomFloats(rows * CONFIG.hidden_size, 3);
    const targets = Int32Array.from({ length: rows }, (_, i) => (i % 5 === 0 ? -1 : i % 50));
    const losses = await model.score(hidden, targets);
    const logits = await model.logits(hidden);
    for (let row = 0; row < rows; row++) {
      const own = Array.from(logits.subarray(row * 50, (row + 1) * 50));
      const largest = Math.max(...own);
      if (targets[row] === -1) {
        expect(losses[row]).toBeNaN();
        continue;
      }
      const total = own.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
      const loss = largest + Math.log(total) - own[targets[row]!]!;
      expect(losses[row]).toBeCloseTo(loss, 5);
    }
    await model.close();
  });

  it("observes all windows together, whatever the batch", async () => {
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, { prefer });
    const hidden = await model.embed(ids, LENGTH);
    const block = await model.openBlock(0);
    const name = "model.layers.0.mlp.down_proj.weight";
    const whole = (await block.run(hidden, LENGTH, "gram")).observed.get(name)!;
    const [run, observed]: ObservedInputs[] = [new Map(), new Map()];
    const size = LENGTH * CONFIG.hidden_size;
    for (let window = 0; window < 3; window++) {
      const part = hidden.slice(window * size, (window + 1) * size);
      await block.run(part, LENGTH, "gram", run);
      await block.observe(part, LENGTH, "gram", observed!);
    }
    expect([...observed!.keys()]).toEqual([...run!.keys()]);
    for (const sums of [whole, run!.get(name)!, observed!.get(name)!]) {
      expect(sums.tokens).toBe(3 * LENGTH);
      for (const kind of ["gram", "squares", "sums"] as const)
        expect(relativeDifference(sums[kind]!, whole[kind]!), kind).toBeLessThan(1e-6);
    }
    await model.close();
  });

  it("runs windows of many lengths, and those of before again", async () => {
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, { prefer });
    const block = await model.openBlock(0);
    const hidden = randomFloats(60 * CONFIG.hidden_size, 4);
    const first = await block.run(hidden, 1);
    for (const length of [2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]) await block.run(hidden, length);
    expect((await block.run(hidden, 1)).hidden).toEqual(first.hidden);
    await model.close();
  });

  it("closes after its head could not be read", async () => {
    const { tensors } = randomModel(CONFIG);
    tensors.delete("model.norm.weight");
    const model = await openRunnable(CONFIG, sourceOf(tensors), { prefer });
    const hidden = new Float32Array(CONFIG.hidden_size);
    await expect(model.logits(hidden)).rejects.toMatchObject({ code: "E_ARCH_TENSOR" });
    await model.close();
  });
});
