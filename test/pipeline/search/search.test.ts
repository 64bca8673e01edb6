/** A perplexity limit on the embedded model: what is tried, written and recorded, and what is refused. */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { engineLabel } from "../../../src/engine/engine.ts";
import { executeRecipe, type RunOptions } from "../../../src/pipeline/execute.ts";
import { type Recipe, readRecipe } from "../../../src/pipeline/recipe/index.ts";
import { runRecipe } from "../../../src/pipeline/runRecipe.ts";
import { verifyCheckpoint } from "../../../src/pipeline/verify.ts";
import { folderHashes, temporaryFolder } from "../../helpers/models.ts";

import {
  begins,
  beside,
  CALIBRATION,
  DEMO,
  evaluated,
  folder,
  listening,
  MAGNITUDE,
  manifestOf,
  recipe,
  wanda,
  warnings,
} from "./runs.ts";

describe("a relative limit, by magnitude", () => {
  const output = join(folder, "magnitude");
  const { events, options } = listening();
  let report: Awaited<ReturnType<typeof runRecipe>>;
  beforeAll(async () => {
    report = await runRecipe(DEMO, output, MAGNITUDE, options);
  });

  it("ends on a try that was measured to meet it, within 1 % or a step", () => {
    const { limit, dense, perplexity, sparsity, tries, ending } = report.search!;
    expect(limit).toBeCloseTo(dense.perplexity * 1.4, 12);
    expect(perplexity).toBeLessThanOrEqual(limit);
    const chosen = tries.find((one) => one.sparsity === sparsity)!;
    expect(chosen).toMatchObject({ perplexity, meets: true, zeros: report.sparsity });
    const next = tries.find((one) => Math.abs(one.sparsity - sparsity - 0.001) < 1e-9);
    if (ending === "near") expect(perplexity).toBeGreaterThan(0.99 * limit);
    else expect(next).toMatchObject({ meets: false });
    for (const one of tries) expect(one.meets).toBe(one.perplexity! <= limit);
    expect(tries.length).toBeLessThan(9);
  });

  it("is what eval measures of the output, and the dense model's is what it measures of that", async () => {
    const { search } = report;
    expect((await evaluated(output)).perplexity).toBe(search!.perplexity);
    const dense = await evaluated(DEMO);
    expect(dense.perplexity).toBe(search!.dense.perplexity);
    expect(search).toMatchObject({
      ...{ target: "ppl<=+40%", protocol: "wanda", ctx: 64, windows: 2, max_windows: 2 },
      ...{ scored: 126, tokens: dense.tokens, dataset_sha256: dense.dataset.sha256 },
      tokenizer_sha256: dense.tokenizer.sha256,
      engine: engineLabel(dense),
    });
  });

  it("evaluates the dense model once, and each try once", () => {
    expect(begins(events, "evaluate")).toBe(1 + report.search!.tries.length);
    const items = events.filter((event) => event.type === "item" && event.phase === "search");
    expect(items).toHaveLength(1 + report.search!.tries.length);
    expect(items.at(-1)).toMatchObject({ done: items.length, items: items.length });
    expect(items[0]).toMatchObject({ name: "dense", note: expect.stringContaining("ppl 1.") });
  });

  it("is in the manifest; recipe.yaml says the sparsity, and gives the same weights again", async () => {
    const manifest = manifestOf(output);
    expect(manifest.search).toEqual(report.search);
    const written = readRecipe(readFileSync(join(output, "recipe.yaml")), "recipe.yaml");
    expect(written.prune).toMatchObject({ sparsity: report.search!.sparsity });
    expect(written.prune).not.toHaveProperty("target");
    expect(written).not.toHaveProperty("evaluation");
    const again = join(folder, "again");
    await executeRecipe(DEMO, again, written, { threads: 0 });
    const { "spinfer_manifest.json": _, ...hashes } = folderHashes(output);
    expect(folderHashes(again)).toMatchObject(hashes);
    expect((await verifyCheckpoint(output, { threads: 0, level: "full" })).ok).toBe(true);
  });

  it("leaves nothing beside the output, and gives the same bytes each time", async () => {
    expect(beside(output)).toEqual([]);
    const twice = join(folder, "twice");
    await runRecipe(DEMO, twice, MAGNITUDE, { threads: 0 });
    expect(folderHashes(twice)).toEqual(folderHashes(output));
  });
});

describe("an absolute limit", () => {
  it("is met to a dense output too, which a size could not be", async () => {
    const output = join(temporaryFolder(), "out");
    const asked = recipe('target: "ppl<=2.5"');
    const dense = { ...asked, convert: { ...asked.convert, to: "dense" as const } };
    const { search, format } = await runRecipe(DEMO, output, dense, { threads: 0 });
    expect([search!.limit, format]).toEqual([2.5, "dense"]);
    expect((await evaluated(output)).perplexity).toBe(search!.perplexity);
  });

  it("that everything meets goes to the end of the grid", async () => {
    const output = join(temporaryFolder(), "out");
    const asked = recipe(
      'target: "ppl<=1e9", targets: [model.layers.0.self_attn.q_proj]'.replace("1e9", "1000000000"),
    );
    const { search } = await runRecipe(DEMO, output, asked, { threads: 0 });
    expect(search).toMatchObject({ sparsity: 0.999, ending: "grid" });
  });
});

describe("by activations", () => {
  it("one pass is gathered once for all tries, and lies in the output", async () => {
    const output = join(temporaryFolder(), "out");
    const { events, options } = listening();
    const { search } = await runRecipe(DEMO, output, wanda(), options);
    expect(search!.tries.length).toBeGreaterThan(1);
    expect(begins(events, "calibrate")).toBe(1);
    expect(warnings(events)).toEqual([]);
    expect(manifestOf(output).statistics).toMatchObject({
      file: "calibration.statistics",
      mode: "one-pass",
      nsamples: 2,
    });
    // the recorded recipe, with its text again, is the whole run without the search
    const written = readRecipe(readFileSync(join(output, "recipe.yaml")), "recipe.yaml");
    const again = join(temporaryFolder(), "again");
    const calibration = { ...written.calibration!, data: CALIBRATION };
    await executeRecipe(DEMO, again, { ...written, calibration }, { threads: 0 });
    const { "spinfer_manifest.json": _, ...hashes } = folderHashes(output);
    expect(folderHashes(again)).toMatchObject(hashes);
    expect((await verifyCheckpoint(output, { threads: 0, level: "full", against: DEMO })).ok).toBe(
      true,
    );
  });

  it("is the mode unless another one is asked for", () => {
    const named = 'method: wanda, target: "ppl<=+40%"';
    expect(recipe(named, ", seed: 0").calibration!.mode).toBe("one-pass");
    expect(wanda("sequential").calibration!.mode).toBe("sequential");
  });

  it("sequential calibrates each try anew, says so, and keeps the statistics of the best", async () => {
    const output = join(temporaryFolder(), "out");
    const { events, options } = listening();
    const { search } = await runRecipe(DEMO, output, wanda("sequential"), options);
    expect(begins(events, "calibrate")).toBe(search!.tries.length);
    expect(warnings(events)).toEqual([expect.stringContaining("each try calibrates anew")]);
    expect(manifestOf(output).statistics).toMatchObject({
      file: "calibration.statistics",
      mode: "sequential",
    });
    expect((await evaluated(output)).perplexity).toBe(search!.perplexity);
    expect((await verifyCheckpoint(output, { threads: 0, level: "full", against: DEMO })).ok).toBe(
      true,
    );
  });

  it.each(["one-pass", "sequential"])(
    "%s statistics go to the file that was named, and are used from there the next time",
    async (mode) => {
      const work = temporaryFolder();
      const statistics = join(work, "stats");
      const [first, second] = [join(work, "first"), join(work, "second")];
      const made = await runRecipe(DEMO, first, wanda(mode), { threads: 0, statistics });
      expect(existsSync(statistics)).toBe(true);
      expect(manifestOf(first).statistics).toMatchObject({ file: null });
      const full = { threads: 0, level: "full", against: DEMO, statistics } as const;
      expect((await verifyCheckpoint(first, full)).ok).toBe(true);
      const { events, options } = listening({ statistics });
      await runRecipe(DEMO, second, wanda(mode), options);
      expect(begins(events, "calibrate")).toBe(0);
      if (mode === "sequential") return; // other sparsities by these statistics: another search
      expect(manifestOf(second).search).toEqual(made.search);
    },
  );
});

describe("what is refused", () => {
  const refused = async (asked: Recipe, options: RunOptions = {}) => {
    const output = join(temporaryFolder(), "out");
    const { events, options: heard } = listening(options);
    const error = await runRecipe(DEMO, output, asked, heard).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(readdirSync(dirname(output))).toEqual([]);
    return { error, events };
  };

  it("a limit that the dense model misses, before anything is pruned", async () => {
    const { error, events } = await refused(recipe('target: "ppl<=1.01"'));
    expect(error).toMatchObject({
      code: "E_TARGET_UNMET",
      message: expect.stringContaining("the dense model misses it already"),
      detail: { expected: "at most 1.0100" },
    });
    expect(begins(events, "prune")).toBe(0);
  });

  it("a limit that no sparsity meets, with the best that was seen", async () => {
    const asked = recipe(
      'target: "ppl<=+1%", overrides: [{ targets: ["*.mlp.*"], sparsity: 0.9 }]',
    );
    const { error, events } = await refused(asked);
    expect(error).toMatchObject({
      code: "E_TARGET_UNMET",
      message: "no sparsity keeps ppl<=+1%",
      detail: {
        found: expect.stringMatching(/^at best [\d,.]+, at a sparsity of \d.*in [2-4] tries/),
      },
    });
    expect(begins(events, "evaluate")).toBeLessThanOrEqual(5);
  });

  it("a text shorter than a window", async () => {
    const data = join(folder, "short.txt");
    writeFileSync(data, "Once.");
    const { evaluation } = MAGNITUDE;
    const { error, events } = await refused({
      ...MAGNITUDE,
      evaluation: { ...evaluation!, data },
    });
    expect(error).toMatchObject({ code: "E_TEXT_SHORT" });
    expect(begins(events, "prune")).toBe(0);
  });

  it("a method that needs activations, without text or statistics", async () => {
    const { error, events } = await refused(recipe('method: wanda, target: "ppl<=+5%"'));
    expect(error).toMatchObject({ code: "E_STATS_MISSING" });
    expect(begins(events, "evaluate")).toBe(0);
  });

  it("weights that are not those that were measured", async () => {
    const work = temporaryFolder();
    const { search } = manifestOf(join(folder, "magnitude"));
    const plain = readRecipe("version: 1\nprune: { sparsity: 0.5 }\n", "r");
    const output = join(work, "out");
    const found = { search: search!, weightsSha256: "0".repeat(64), statistics: undefined };
    await expect(executeRecipe(DEMO, output, plain, { threads: 0 }, found)).rejects.toMatchObject({
      code: "E_SOURCE_CHANGED",
    });
    expect(readdirSync(work)).toEqual([]);
  });

  it("a limit where headers are all there is", async () => {
    const output = join(temporaryFolder(), "out");
    await expect(executeRecipe(DEMO, output, MAGNITUDE, { threads: 0 })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("only measuring tells"),
    });
  });
});

describe("without the engine that was asked for", () => {
  afterEach(() => {
    vi.doUnmock("../../../src/engine/onnxruntime/import.ts");
    vi.resetModules();
  });

  it("nothing is pruned", async () => {
    vi.resetModules();
    vi.doMock("../../../src/engine/onnxruntime/import.ts", () => ({
      importLibrary: () =>
        Promise.reject(Object.assign(new Error("gone"), { code: "ERR_MODULE_NOT_FOUND" })),
    }));
    const { runRecipe: run } = await import("../../../src/pipeline/runRecipe.ts");
    const output = join(temporaryFolder(), "out");
    await expect(
      run(DEMO, output, MAGNITUDE, { threads: 0, engine: "onnxruntime" }),
    ).rejects.toMatchObject({ code: "E_ENGINE_MISSING" });
    expect(readdirSync(dirname(output))).toEqual([]);
  });
});
