/** bench kernels over a made-up GPU: which numbers end where. Real ones come from `npm run bench`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { csv, jsonLines } from "../../../src/cli/output/data.ts";
import { humanText } from "../../../src/cli/output/humanText.ts";
import { benchResultSchema } from "../../../src/cli/schemas/bench.ts";
import { benchDocument, benchResult, benchTable } from "../../../src/cli/views/bench.ts";
import { benchCases, type CaseRequest, DECODE_SHAPES } from "../../../src/pipeline/bench/cases.ts";
import {
  benchKernels,
  geometricMeans,
  type KernelBenchReport,
} from "../../../src/pipeline/bench/kernels.ts";
import { executeRecipe } from "../../../src/pipeline/execute.ts";
import { defaultRecipe } from "../../../src/pipeline/recipe/index.ts";
import { withFakeGpu } from "../../engine/cuda/startFake.ts";

const DEMO = fileURLToPath(new URL("../../../models/demo", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "spinfer-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

const REQUEST: CaseRequest = { masks: ["random"], sparsities: [0.5, 0.6], dtype: "F16" };

async function run(
  request: Partial<CaseRequest>,
  tokens: readonly number[],
  extra: { energySeconds?: number; twoFour?: boolean } = {},
): Promise<KernelBenchReport> {
  const cases = await benchCases({ ...REQUEST, ...request });
  return await withFakeGpu((gpu) =>
    benchKernels(cases, {
      tokens,
      energySeconds: extra.energySeconds ?? 0,
      twoFour: extra.twoFour ?? false,
      streamLimit: true,
      gpu,
    }),
  );
}

describe("the cases of bench kernels", () => {
  it("are the decode shapes at each sparsity when nothing is named", async () => {
    const cases = await benchCases(REQUEST);
    expect(cases).toHaveLength(2 * DECODE_SHAPES.length);
    expect(cases[0]).toMatchObject({ rows: 4096, cols: 4096, label: "4096×4096" });
  });

  it("come from a config.json without weights", async () => {
    writeFileSync(
      join(folder, "config.json"),
      JSON.stringify({
        model_type: "llama",
        hidden_size: 4096,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        intermediate_size: 14336,
      }),
    );
    const cases = await benchCases({ ...REQUEST, sparsities: [0.5], config: folder });
    expect(cases.map(({ label, rows, cols }) => [label, rows, cols])).toEqual([
      ["q_proj", 4096, 4096],
      ["k_proj, v_proj", 1024, 4096],
      ["o_proj", 4096, 4096],
      ["gate_proj, up_proj", 14336, 4096],
      ["down_proj", 4096, 14336],
    ]);
  });

  it("are a packed model's layers with their own masks, one of each kind", async () => {
    const sparse = join(folder, "sparse");
    await executeRecipe(DEMO, sparse, defaultRecipe("prune"), { threads: 0 });
    const cases = await benchCases({ ...REQUEST, model: sparse });
    expect(cases).toHaveLength(7);
    for (const { source } of cases) {
      expect(source.kind).toBe("packed");
      expect(source.sparsity).toBeCloseTo(0.5, 4);
    }
    const dense = await benchCases({ ...REQUEST, model: DEMO });
    expect(dense.map(({ source }) => source.kind)).toEqual(Array(14).fill("drawn"));
  });

  it.each([
    ["4096", "is no shape"],
    ["0x4096", "is no shape"],
    ["4096x99999999", "is no shape"],
  ])("refuse the shape %s", async (shape, sentence) => {
    await expect(benchCases({ ...REQUEST, shapes: [shape] })).rejects.toThrow(sentence);
  });

  it("refuse a config.json that is none", async () => {
    writeFileSync(join(folder, "other.json"), "{}");
    await expect(benchCases({ ...REQUEST, config: join(folder, "other.json") })).rejects.toThrow(
      "no hidden_size",
    );
  });
});

describe("the report of bench kernels", () => {
  it("divides the fastest dense time by the sparse ones", async () => {
    const { cells, means } = benchResult(await run({ shapes: ["1024x4096"] }, [1, 8]));
    const share = (zeros: number): number => 2 * (1 - zeros) + 1 / 8;
    for (const cell of cells) {
      // the GEMV is the fastest at one token, and only there it is measured
      const baseline = cell.n_batch === 1 ? "gemv" : "cublasLt";
      const gain = (cell.n_batch === 1 ? 0.9 : 1) * (2 / share(cell.asked_sparsity));
      expect(cell.baseline).toBe(baseline);
      expect(cell.gemv_median_ns === null).toBe(cell.n_batch !== 1);
      expect(cell.ratio).toBeCloseTo(gain, 3);
      expect(cell.overlap_ratio).toBeCloseTo(gain / 0.8, 3);
      expect(cell.stream_ratio).toBeCloseTo(gain / 0.9, 3);
      expect(cell.share_of_limit).toBeCloseTo(0.9, 6);
      expect(cell.spread).toBeCloseTo(0.04, 6);
      expect(cell.baseline_candidates).toBe(17);
      expect(cell.samples_ns).toHaveLength(9);
      expect(cell.avg_ts).toBeCloseTo((cell.n_batch * 1e9) / cell.avg_ns, 3);
    }
    expect(means.map(({ n_batch, sparsity }) => [n_batch, sparsity])).toEqual([
      [1, 0.5],
      [1, 0.6],
      [8, 0.5],
      [8, 0.6],
    ]);
  });

  it("takes geometric means over shapes", async () => {
    const report = await run({ shapes: ["64x64", "1024x4096"], sparsities: [0.5] }, [8]);
    const [mean] = geometricMeans(report.rows);
    const [a, b] = benchResult(report).cells;
    expect(mean!.cells).toBe(2);
    expect(mean!.ratio).toBeCloseTo(Math.sqrt(a!.ratio * b!.ratio), 9);
  });

  it("holds to its schema, in every form, with energy and with notes", async () => {
    const report = await run({ shapes: ["64x64"] }, [1], { energySeconds: 2, twoFour: true });
    const result = benchResult(report);
    expect(benchResultSchema.parse(result)).toEqual(result);
    expect(result.cells[0]!.millijoules).toBe(1);
    expect(result.cells[0]!.two_four_ratio).toBeNull();
    expect(report.notes).toEqual([
      "2:4 through cuSPARSELt was not measured: cuSPARSELt was not found",
    ]);
    const table = benchTable(result);
    const [header, ...rows] = csv(table).trimEnd().split("\n");
    expect(rows).toHaveLength(2);
    for (const name of ["build_version", "gpu_info", "n_batch", "avg_ns", "stddev_ns", "avg_ts"]) {
      expect(header!.split(",")).toContain(name);
    }
    expect(JSON.parse(jsonLines(table, "bench kernels").split("\n")[0]!)).toMatchObject({
      schema: "spinfer.row/1",
      m: 64,
      k: 64,
    });
    const text = humanText(benchDocument(report), false);
    expect(text).toContain("Made-up GPU · 132 SMs");
    expect(text).toContain("geometric means");
    expect(text).not.toContain("2:4 "); // a column that nothing was measured for
  });
});
