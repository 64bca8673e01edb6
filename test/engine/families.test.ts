/** Every family on every engine beside transformers in float32. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ObservedInputs } from "../../src/engine/engine.ts";
import { openRunnable } from "../../src/engine/index.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { weightSource } from "../../src/pipeline/weightSource.ts";
import { describePython } from "../helpers/python.ts";
import { AVAILABLE_ENGINES } from "./availableEngines.ts";
import {
  CASE_NAMES,
  Checkpoints,
  LONG_FACTORS,
  relativeDifference,
  runBlocks,
} from "./checkpoints.ts";

const LOGITS = 1e-4;
const STATISTICS = 1e-5;

/** What those configs say where later ones have rope_parameters and layer_types. */
const OLDER = {
  "llama, llama3": {
    rope_theta: 10_000,
    rope_scaling: {
      type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
  },
  "qwen2, sliding": { rope_theta: 10_000 },
  // windows that nothing turns on, and ones that begin with a block that is not there
  qwen2: {
    rope_theta: 10_000,
    use_sliding_window: undefined,
    sliding_window: 20,
    max_window_layers: 0,
  },
  qwen3: {
    rope_theta: 10_000,
    use_sliding_window: true,
    sliding_window: 20,
    max_window_layers: undefined,
  },
  gpt_neox: { rotary_pct: 0.25, rotary_emb_base: 10_000, use_parallel_residual: undefined },
  "phi3, longrope": {
    rope_theta: 10_000,
    rope_scaling: {
      type: "su",
      short_factor: LONG_FACTORS.map(() => 1),
      long_factor: LONG_FACTORS,
    },
  },
  gemma2: { rope_theta: 10_000 },
  gemma3: { rope_theta: 1_000_000, rope_local_base_freq: 10_000, sliding_window_pattern: 2 },
} as const;

/** The lower triangle of an n × n matrix, row by row. */
function lowerTriangle(matrix: Float64Array, n: number): Float64Array {
  return Float64Array.from(
    Array.from({ length: n }, (_, i) => [...matrix.subarray(i * n, i * n + i + 1)]).flat(),
  );
}

describePython("families beside transformers", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-engine-"));
  let made: Checkpoints;
  beforeAll(() => {
    made = new Checkpoints(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe.each(AVAILABLE_ENGINES)("%s", (engine) => {
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
        const grams: ObservedInputs = new Map();
        await block.observe(hidden, length, "gram", grams);
        await block.close();
        hidden = norms.hidden;
        expect([...grams.keys()].sort()).toEqual([...norms.observed.keys()].sort());
        for (const [weight, sums] of grams) {
          const layer = layers.indexOf(weight);
          expect(layer, weight).toBeGreaterThanOrEqual(0);
          const squares = made.doubles(name, `squares.${layer}`);
          expect(sums.tokens).toBe(made.ids(name).length);
          const gram = lowerTriangle(made.doubles(name, `gram.${layer}`), squares.length);
          expect(relativeDifference(sums.gram!, gram)).toBeLessThan(STATISTICS);
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

  it.each(Object.keys(OLDER) as (keyof typeof OLDER)[])(
    "%s is read from a config.json of before transformers 5",
    async (name) => {
      const opened = await openModel(made.path(name));
      const config = { ...opened.archive.config };
      for (const key of ["rope_parameters", "layer_types"]) delete config[key];
      const older = { ...config, ...OLDER[name] };
      const model = await openRunnable(older, weightSource(opened), { prefer: "onnxruntime" });
      const { length } = made.of(name);
      const logits = await model.logits(await runBlocks(model, made.ids(name), length));
      await model.close();
      expect(relativeDifference(logits, made.floats(name, "logits"))).toBeLessThan(LOGITS);
    },
  );
});
