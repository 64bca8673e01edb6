/** Every family on both engines beside transformers in float32. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describePython } from "../helpers/python.ts";
import { CASE_NAMES, Checkpoints, relativeDifference, runBlocks } from "./checkpoints.ts";

const LOGITS = 1e-4;
const STATISTICS = 1e-5;

describePython("families beside transformers", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-engine-"));
  let made: Checkpoints;
  beforeAll(() => {
    made = new Checkpoints(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe.each(["onnxruntime", "typescript"] as const)("%s", (engine) => {
    it.each(CASE_NAMES)("%s gives the same logits", async (name) => {
      const { length } = made.of(name);
      const model = await made.open(name, engine);
      const logits = await model.logits(await runBlocks(model, made.ids(name), length));
      await model.close();
      const difference = relativeDifference(logits, made.floats(name, "logits"));
      console.info(`${engine} ${name}: ${difference.toExponential(1)}`);
      expect(difference).toBeLessThan(LOGITS);
    });

    it.each(CASE_NAMES)("%s observes the same inputs", async (name) => {
      const { length, layers } = made.of(name);
      const model = await made.open(name, engine);
      let hidden = await model.embed(made.ids(name), length);
      let seen = 0;
      for (let index = 0; index < model.facts.blocks; index++) {
        const block = await model.openBlock(index);
        const norms = await block.run(hidden, length, "norms");
        const grams = await block.run(hidden, length, "gram");
        await block.close();
        expect(relativeDifference(grams.hidden, norms.hidden)).toBeLessThan(1e-6);
        hidden = norms.hidden;
        expect([...grams.observed.keys()].sort()).toEqual([...norms.observed.keys()].sort());
        for (const [weight, sums] of grams.observed) {
          const layer = layers.indexOf(weight);
          expect(layer, weight).toBeGreaterThanOrEqual(0);
          const squares = made.doubles(name, `squares.${layer}`);
          expect(sums.tokens).toBe(made.ids(name).length);
          expect(relativeDifference(sums.gram!, made.doubles(name, `gram.${layer}`))).toBeLessThan(
            STATISTICS,
          );
          expect(relativeDifference(sums.squares, squares)).toBeLessThan(STATISTICS);
          const alone = norms.observed.get(weight)!;
          expect(alone.gram).toBeUndefined();
          expect(relativeDifference(alone.squares, squares)).toBeLessThan(STATISTICS);
          seen++;
        }
      }
      await model.close();
      expect(seen).toBe(layers.length);
    });
  });
});
