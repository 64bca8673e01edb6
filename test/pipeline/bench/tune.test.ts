/** The planner and its cache over a made-up GPU, and the built-in table without one. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tuneResultSchema } from "../../../src/cli/schemas/bench.ts";
import { tuneResult } from "../../../src/cli/views/tune.ts";
import { sparsityBucket, TuneCache } from "../../../src/pipeline/tune/cache.ts";
import { MEASURED_ON_H100 } from "../../../src/pipeline/tune/measuredOnH100.ts";
import { planMatrix } from "../../../src/pipeline/tune/planner.ts";
import { type TuneOptions, tuneModel } from "../../../src/pipeline/tune/tune.ts";
import { withFakeGpu } from "../../engine/cuda/startFake.ts";

const DEMO = fileURLToPath(new URL("../../../models/demo", import.meta.url));
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "spinfer-tune-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const tune = async (options: Partial<TuneOptions> = {}) =>
  await withFakeGpu(
    async (gpu) =>
      await tuneModel(DEMO, {
        tokens: [1, 8],
        sparsity: 0.6,
        planOnly: false,
        again: false,
        env: { SPINFER_CACHE: folder },
        gpu,
        ...options,
      }),
  );

describe("spinfer tune", () => {
  it("measures each shape once, keeps the fastest kernel, and plans from it", async () => {
    const report = await tune();
    // seven kinds of layers, four shapes, two numbers of tokens
    expect(report.measured).toBe(8);
    expect(tuneResultSchema.parse(tuneResult(report))).toEqual(tuneResult(report));
    for (const { plan } of report.matrices) {
      expect(plan.storage).toBe("sparse");
      for (const choice of plan.choices) {
        expect(choice.from).toBe("measured here");
        // the kernel that the made-up GPU runs in half the time
        expect(choice.geometry).toMatchObject({ warps: 8, roundRobin: 0 });
        expect(choice.ratio).toBeCloseTo(2 * (2 / (0.8 + 1 / 8)), 1);
      }
    }
    expect((await tune()).measured).toBe(0);
    expect((await tune({ again: true })).measured).toBe(8);
    expect((await tune({ tokens: [1, 8, 16] })).measured).toBe(4);
  });

  it("does not use what another driver or GPU gave", async () => {
    await tune();
    const path = join(folder, "tune.json");
    writeFileSync(path, readFileSync(path, "utf8").replaceAll('"1.2.3"', '"1.2.2"'));
    expect((await tune()).measured).toBe(8);
    expect((await TuneCache.read({ SPINFER_CACHE: folder })).of({ gpu: "x", driver: "y" })).toEqual(
      [],
    );
  });

  it("keeps what runs at the same time measured, each its own", async () => {
    const env = { SPINFER_CACHE: folder };
    await tune();
    const [entry] = JSON.parse(readFileSync(join(folder, "tune.json"), "utf8")).entries;
    const caches = await Promise.all(Array.from({ length: 4 }, () => TuneCache.read(env)));
    await Promise.all(
      caches.map(async (cache, i) => {
        cache.put({ ...entry, tokens: 100 + i });
        await cache.save();
      }),
    );
    const key = { gpu: entry.gpu, driver: entry.driver };
    const tokens = (await TuneCache.read(env)).of(key).map((cell) => cell.tokens);
    expect(tokens).toHaveLength(12);
    expect(tokens).toEqual(expect.arrayContaining([1, 8, 100, 101, 102, 103]));
    expect(readdirSync(folder)).toEqual(["tune.json"]);
    // and what another run wrote is known after saving
    expect(caches.some((cache) => cache.of(key).length === 12)).toBe(true);
  });

  it.each([
    ["no JSON", "{"],
    ["another shape", '{"schema":"spinfer.tune/1","entries":[{"gpu":"x"}]}'],
    ["another version", '{"schema":"spinfer.tune/2","entries":[]}'],
  ])("refuses a cache that is %s, and says what to do", async (_, text) => {
    writeFileSync(join(folder, "tune.json"), text);
    await expect(tune()).rejects.toMatchObject({
      code: "E_TUNE_CACHE",
      detail: { path: join(folder, "tune.json") },
    });
  });
});

describe("the planner without measurements", () => {
  const matrix = { rows: 4096, cols: 4096, dtype: "F16", sparsity: 0.6 } as const;

  it("takes the measured ratio of a shape in the table", () => {
    const { shapes, tokens, sparsities } = MEASURED_ON_H100;
    const shape = shapes.find(({ rows, cols }) => rows === 4096 && cols === 4096)!;
    const cell = shape.ratios[tokens.indexOf(8)]![sparsities.indexOf(60)]!;
    const { choices, storage } = planMatrix(matrix, [8], []);
    expect(storage).toBe("sparse");
    expect(choices[0]).toEqual({
      tokens: 8,
      ratio: cell[0],
      overlapRatio: cell[1],
      geometry: "built-in",
      overlapGeometry: "built-in",
      from: "measured on an H100",
    });
  });

  it("lies between the sparsities that were measured", () => {
    const at = (sparsity: number): number => planMatrix({ ...matrix, sparsity }, [8], []).ratio;
    expect(at(0.55)).toBeGreaterThan(at(0.5));
    expect(at(0.55)).toBeLessThan(at(0.6));
    expect(at(0.3)).toBeLessThan(at(0.4));
    expect(at(0.99)).toBe(at(0.8));
  });

  it("says when it estimates, and claims nothing for small matrices", () => {
    const from = (rows: number, sparsity: number): string =>
      planMatrix({ ...matrix, rows, sparsity }, [8], []).choices[0]!.from;
    expect([from(4096, 0.6), from(4100, 0.6), from(4096, 0.61)]).toEqual([
      "measured on an H100",
      "estimated",
      "estimated",
    ]);
    const small = planMatrix({ ...matrix, rows: 64, cols: 64 }, [8], []);
    expect([small.ratio, small.storage, small.choices[0]!.from]).toEqual([1, "dense", "estimated"]);
  });

  it("keeps a matrix dense where sparse products lose", () => {
    expect(planMatrix({ ...matrix, sparsity: 0.1 }, [8], []).storage).toBe("dense");
    expect(planMatrix({ ...matrix, sparsity: 0.4 }, [64, 128], []).storage).toBe("dense");
    expect(planMatrix({ ...matrix, cols: 11008, sparsity: 0.7 }, [65536], []).storage).toBe(
      "dense",
    );
  });

  it("puts sparsities into buckets of five per cent", () => {
    expect([0.5, 0.5001, 0.52, 0.53, 0.99].map(sparsityBucket)).toEqual([50, 50, 50, 55, 95]);
  });
});
