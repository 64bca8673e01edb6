/** The Python package keeps dense what our planner keeps dense, from the same tune.json. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { VERSION } from "../../src/core/version.ts";
import { TuneCache, type TuneEntry } from "../../src/pipeline/tune/cache.ts";
import { planMatrix } from "../../src/pipeline/tune/planner.ts";
import { describePython, runPython } from "../helpers/python.ts";

const SOURCES = fileURLToPath(new URL("../../integrations/python/src", import.meta.url));
const SCRIPT = `
import json, sys
sys.path.insert(0, ${JSON.stringify(SOURCES)})
from pathlib import Path
from spinfer import planner
path, gpu, driver, matrices = sys.argv[1:]
measured = planner.read_measured(Path(path))
for rows, cols, nonzeros, dtype in json.loads(matrices):
    dense = planner.is_faster_dense(rows, cols, nonzeros, dtype, planner.Gpu(gpu, driver), measured)
    print("dense" if dense else "sparse")
`;
const GPU = { gpu: "NVIDIA H100 80GB HBM3", driver: "580.65" };
const TOKENS = [1, 8, 16];
const SIDES = [1024, 2048, 4096];

describePython("the planner in Python", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-planner-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("says what ours says of every matrix that was measured", async () => {
    const cache = await TuneCache.read({ SPINFER_CACHE: folder });
    const geometry = { tokens: 8, warps: 8, stages: 2, blocksPerSm: 1, cluster: 1 };
    const shapes = SIDES.flatMap((rows) => SIDES.map((cols) => ({ rows, cols })));
    let seed = 1;
    for (const { rows, cols } of shapes) {
      for (const sparsity of [50, 55, 60]) {
        for (const tokens of TOKENS) {
          seed = (seed * 48271) % 2147483647;
          cache.put(entry(rows, cols, sparsity, tokens, 0.97 + (0.12 * seed) / 2147483647));
        }
      }
    }
    await cache.save();
    function entry(
      rows: number,
      cols: number,
      sparsity: number,
      tokens: number,
      ratio: number,
    ): TuneEntry {
      const whole = { ...geometry, roundRobin: 1, copies: 1 };
      return {
        ...{ ...GPU, library: VERSION, rows, cols, dtype: "F16", sparsity, tokens },
        ...{ denseUs: 10 * ratio, sparseUs: 10, geometry: whole },
        ...{ overlapUs: 9, overlapGeometry: whole, measured: "2026-11-26T12:00:00.000Z" },
      };
    }
    // between the steps of 5 % too
    const matrices = shapes.flatMap((shape) =>
      [0.49, 0.5, 0.5249, 0.5751, 0.6, 0.62].map((sparsity) => ({ ...shape, sparsity })),
    );
    const known = cache.of(GPU);
    const ours = matrices.map(({ rows, cols, sparsity }) => {
      const nonzeros = Math.round(rows * cols * (1 - sparsity));
      const exact = 1 - nonzeros / (rows * cols);
      const matrix = { rows, cols, dtype: "F16", sparsity: exact } as const;
      return { nonzeros, storage: planMatrix(matrix, TOKENS, known).storage };
    });
    const asked = matrices.map(({ rows, cols }, i) => [rows, cols, ours[i]!.nonzeros, "F16"]);
    const args = [cache.path, GPU.gpu, GPU.driver, JSON.stringify(asked)];
    const said = runPython(SCRIPT, args).toString().trimEnd().split("\n");
    expect(said).toEqual(ours.map(({ storage }) => storage));
    expect(new Set(said)).toEqual(new Set(["sparse", "dense"]));
  });
});
