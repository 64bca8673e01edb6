/** spinfer sweep and report as their users run them: on the embedded model, with few windows. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type SweepRecord, sweepRecordSchema } from "../../src/pipeline/sweep/record.ts";
import { cli, cliError, cliJson, exitOf, startCli } from "../helpers/cli.ts";
import { fileFolder } from "../helpers/models.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = fileFolder();
const options = { cwd: folder };
const FEW = ["--ctx", "64", "--max-windows", "2", "--progress", "none"];
const CALIB = ["--calib", "text.txt", "--nsamples", "2", "--seqlen", "64"];
const FIRST = ["sweep", "demo", "--method", "magnitude,wanda", "--sparsity", "0.5,0.6"];

const recordIn = (name: string): SweepRecord =>
  JSON.parse(readFileSync(join(folder, name, "sweep.json"), "utf8"));
const namesOf = ({ points }: SweepRecord): string[] => points.map(({ name }) => name);

let first: SweepRecord;

beforeAll(() => {
  cpSync(join(ROOT, "models/demo"), join(folder, "demo"), { recursive: true });
  cpSync(join(ROOT, "docs/examples/calibration.txt"), join(folder, "text.txt"));
  first = cliJson([...FIRST, ...FEW, ...CALIB, "-o", "sweep", "--keep"], options) as SweepRecord;
});

describe("a sweep", () => {
  it("has a point for each method and sparsity, by one calibration", () => {
    expect(sweepRecordSchema.parse(first)).toEqual(first);
    expect(first).toEqual(recordIn("sweep"));
    expect(namesOf(first)).toEqual(["magnitude-0.5", "magnitude-0.6", "wanda-0.5", "wanda-0.6"]);
    const [magnitude, , wanda] = first.points;
    expect(magnitude!.statistics_sha256).toBeNull();
    expect(wanda!.statistics_sha256).toBe(first.calibration!.sha256);
    expect(first.calibration).toMatchObject({ nsamples: 2, seqlen: 64, gram: false });
    for (const point of first.points) {
      expect(point.delta).toBeCloseTo(point.perplexity / first.dense.perplexity - 1, 12);
      expect(point.layers.length).toBe(28);
      expect(point.bytes).toBeLessThan(point.dense_bytes);
      expect(point.peak_memory_bytes).toBeGreaterThan(50e6);
    }
  });

  it("gives what prune with the same statistics and eval give", () => {
    const stats = ["--stats", "sweep/calibration.statistics", "--sparsity", "0.6"];
    const pruned = cli(["prune", "demo", ...stats, "--method", "wanda", "-o", "w"], options);
    expect(pruned.status, pruned.stderr).toBe(0);
    const evaluated = cliJson(["eval", "w", ...FEW], options);
    const point = first.points.find(({ name }) => name === "wanda-0.6")!;
    expect(point.perplexity).toBeCloseTo(Number(evaluated["perplexity"]), 6);
    const model = evaluated["model"] as { manifest_sha256: string };
    const weights = (path: string): Buffer => readFileSync(join(folder, path, "model.safetensors"));
    expect(weights("sweep/checkpoints/wanda-0.6").equals(weights("w"))).toBe(true);
    expect(model.manifest_sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it("goes on: points of the record stay, others are added, nothing is left behind", () => {
    const more = ["sweep", "demo", "--method", "magnitude,wanda+owl", "--sparsity", "0.6"];
    const line = [...more, "--pattern", "2:4", ...FEW, ...CALIB, "-o", "sweep"];
    const { status, stdout, stderr } = cli(line, options);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("7 points, 4 of them from before");
    const record = recordIn("sweep");
    expect(namesOf(record).slice(4)).toEqual(["magnitude-2:4", "wanda+owl-0.6", "wanda+owl-2:4"]);
    expect(record.points.slice(0, 4)).toEqual(first.points);
    expect(record.calibration).toEqual(first.calibration);
    expect(readdirSync(join(folder, "sweep")).sort()).toEqual([
      "calibration.statistics",
      "checkpoints",
      "sweep.json",
    ]);
    expect(readdirSync(join(folder, "sweep/checkpoints")).sort()).toEqual(namesOf(first).sort());
  });

  it("is refused in the folder of another one", () => {
    const words = ["sweep", "demo", "--sparsity", "0.5", "-o", "sweep", "--progress", "none"];
    expect(cliError([...words, "--ctx", "32", "--max-windows", "2"], options)).toMatchObject({
      status: 10,
      code: "E_RESUME_MISMATCH",
      message: expect.stringContaining("another ctx"),
    });
    const other = [
      "sweep",
      "demo",
      "--method",
      "ria",
      ...FEW,
      "--calib",
      "text.txt",
      "-o",
      "sweep",
    ];
    expect(cliError([...other, "--nsamples", "3"], options)).toMatchObject({
      code: "E_RESUME_MISMATCH",
      message: expect.stringContaining("another nsamples"),
    });
    mkdirSync(join(folder, "full"));
    writeFileSync(join(folder, "full/note.txt"), "mine");
    expect(cliError(["sweep", "demo", "-o", "full"], options).code).toBe("E_OUTPUT_EXISTS");
  });

  it.each([
    [["--sparsity", "0.7..0.3"], "E_OPTION"],
    [["--sparsity", "1"], "E_OPTION"],
    [["--pattern", "4:2"], "E_OPTION"],
    [["--method", "magnitude,magnitude"], "E_OPTION"],
    [["--method", "magic"], "E_PRUNER_UNKNOWN"],
    [["--method", "wanda"], "E_STATS_MISSING"],
  ] as const)("with %j is refused before any work", (words, code) => {
    expect(cliError(["sweep", "demo", ...words, "-o", "never"], options).code).toBe(code);
    expect(existsSync(join(folder, "never"))).toBe(false);
  });
});

describe("a sweep that is stopped while it calibrates", () => {
  const MORE = ["--calib", "text.txt", "--nsamples", "16", "--seqlen", "512"];
  const SWEEP = ["sweep", "demo", "--method", "wanda", "--sparsity", "0.5", ...FEW, ...MORE];
  const measured = ({ points, calibration }: SweepRecord) => ({
    statistics: calibration!.sha256,
    points: points.map(({ name, perplexity, manifest_sha256 }) => [
      name,
      perplexity,
      manifest_sha256,
    ]),
  });
  let undisturbed: SweepRecord;
  beforeAll(() => {
    undisturbed = cliJson([...SWEEP, "-o", "undisturbed"], options) as SweepRecord;
  });

  it.each(["SIGKILL", "SIGINT"] as const)(
    "%s: the same command goes on with the calibration, to the same record",
    async (signal) => {
      const journal = join(folder, signal, "calibration.statistics.spinfer-journal");
      const blocks = (): number => {
        try {
          return readFileSync(journal, "utf8").match(/"passed"/g)?.length ?? 0;
        } catch {
          return 0;
        }
      };
      const child = startCli([...SWEEP, "-o", signal], options);
      let said = "";
      child.stderr?.on("data", (chunk) => {
        said += chunk;
      });
      let over = false;
      const ended = exitOf(child).finally(() => {
        over = true;
      });
      while (!over && blocks() < 2) await sleep(1);
      child.kill(signal);
      const { status } = await ended;
      if (signal === "SIGINT") {
        expect(status).toBe(130);
        expect(said).toMatch(/fix: +go on with the same command$/m);
      }
      const before = blocks();
      expect(before).toBeGreaterThanOrEqual(2);
      expect(existsSync(join(folder, signal, "calibration.statistics"))).toBe(false);
      expect(recordIn(signal)).toMatchObject({ calibration: null, points: [] });
      const { status: then, stderr } = cli([...SWEEP, "-o", signal], options);
      expect([then, stderr]).toEqual([0, ""]);
      expect(measured(recordIn(signal))).toEqual(measured(undisturbed));
      expect(readdirSync(join(folder, signal)).sort()).toEqual([
        "calibration.statistics",
        "sweep.json",
      ]);
    },
  );

  it("with other windows than before, the calibration begins anew", async () => {
    const child = startCli([...SWEEP, "-o", "other"], options);
    let over = false;
    const ended = exitOf(child).finally(() => {
      over = true;
    });
    const partial = join(folder, "other", "calibration.statistics.spinfer-partial");
    while (!over && !existsSync(partial)) await sleep(1);
    child.kill("SIGKILL");
    await ended;
    expect(existsSync(partial)).toBe(true);
    const fewer = SWEEP.map((word) => (word === "16" ? "3" : word));
    const record = cliJson([...fewer, "-o", "other"], options) as SweepRecord;
    expect(record.calibration).toMatchObject({ nsamples: 3 });
    expect(record.points).toHaveLength(1);
  });
});

describe("a report", () => {
  const report = (...words: string[]) => cli(["report", ...words], options);

  it("is a page or Markdown, by the name of its file", () => {
    expect(report("sweep/sweep.json", "-o", "page.html").status).toBe(0);
    const page = readFileSync(join(folder, "page.html"), "utf8");
    for (const { perplexity } of recordIn("sweep").points) {
      expect(page).toContain(`data-perplexity="${perplexity}"`);
    }
    expect(report("sweep/sweep.json", "-o", "page.md", "--title", "One | two").status).toBe(0);
    expect(readFileSync(join(folder, "page.md"), "utf8")).toMatch(/^# One \\\| two$/m);
    expect(cliError(["report", "sweep/sweep.json", "-o", "page.html"], options)).toMatchObject({
      code: "E_OUTPUT_EXISTS",
    });
    expect(cliError(["report", "sweep/sweep.json", "-o", "page.pdf"], options).code).toBe(
      "E_OPTION",
    );
    expect(cliError(["report", "sweep/sweep.json"], options).code).toBe("E_USAGE");
  });

  it("takes evaluations, manifests, and what bench kernels printed", () => {
    const evaluated = cli(["eval", "w", ...FEW, "--json"], options);
    writeFileSync(join(folder, "eval.json"), evaluated.stdout);
    writeFileSync(join(folder, "kernels.json"), JSON.stringify(KERNELS));
    const paths = ["eval.json", "w/spinfer_manifest.json", "kernels.json"];
    const result = cliJson(["report", ...paths, "-o", "all.html"], options);
    expect(result).toMatchObject({
      records: 3,
      form: "html",
      sections: ["evaluations", "checkpoints", "kernels"],
    });
    const page = readFileSync(join(folder, "all.html"), "utf8");
    expect(page).toContain("Speed of products on NVIDIA H100");
    expect(page).toContain("1.21×");
  });

  const speeds = (manifest: string) => ({
    ...{ schema: "spinfer.bench-hf/1", created: "2026-11-26T10:00:00+00:00" },
    command: "spinfer-bench-hf --folder out",
    gpu: { name: "NVIDIA H100", driver: "580.65", uuid: "GPU-1", powerLimitW: 700 },
    versions: { torch: "2.11.0" },
    models: ["other", manifest].map((name) => ({
      ...{ name, manifest: name === manifest ? manifest : null, prefill: [] },
      loading: {
        ...{ device: "cuda", cold: null },
        warm: { dense: { seconds: [3, 2, 9] }, sparse: { seconds: [1, 2] } },
      },
      perplexity: {
        dense: { value: 5.5, tokens: 4096, window: 2048 },
        sparse: { value: 5.5, tokens: 4096, window: 2048 },
      },
      decode: [
        {
          ...{ engine: "fused", sparsity: 0.6, batch: 1, speedup: 1.63 },
          dense: {
            ...{ tokensPerSecond: 158, stepMs: { median: 6, deviation: 0.06 } },
            peakBytes: 16e9,
            joulesPerToken: 2.6,
          },
          sparse: { tokensPerSecond: 257, peakBytes: 8e9, joulesPerToken: null },
        },
      ],
    })),
  });

  it("shows the speed of whole models, on the card that of this checkpoint alone", () => {
    const checkpoint = "sweep/checkpoints/wanda-0.6";
    const manifest = join(folder, checkpoint, "spinfer_manifest.json");
    const { manifest_sha256 } = JSON.parse(readFileSync(manifest, "utf8"));
    writeFileSync(join(folder, "speed.json"), JSON.stringify(speeds(manifest_sha256)));
    expect(cliJson(["report", "speed.json", "-o", "speed.html"], options)).toMatchObject({
      sections: ["speeds"],
    });
    const page = readFileSync(join(folder, "speed.html"), "utf8");
    expect(page).toContain("End-to-end speed on NVIDIA H100");
    expect(page).toContain("1.63×");
    expect(page).toContain("158.0 ± 1.6");
    expect(page).toContain("perplexity 5.500 packed and 5.500 dense, over 4096 tokens");
    // medians: 3 s over 1.5 s
    expect(page).toContain("loading to cuda with a warm page cache 2.00×");
    expect(report("speed.json", "--card", checkpoint, "-o", "card.md").status).toBe(0);
    const card = readFileSync(join(folder, "card.md"), "utf8");
    expect(card).toContain("## End-to-end speed on NVIDIA H100");
    expect(card).not.toContain("| other |");
    writeFileSync(join(folder, "speed.json"), JSON.stringify(speeds("ab".repeat(32))));
    expect(cliError(["report", "speed.json", "--card", checkpoint], options).code).toBe("E_RECORD");
  });

  it("refuses damaged speeds", () => {
    const good = speeds("ab".repeat(32));
    const [model] = good.models;
    for (const [field, damaged] of [
      ["gpu.driver", { ...good, gpu: { ...good.gpu, driver: 7 } }],
      ["models", { ...good, models: "none" }],
      ["models.0.decode.0.speedup", change({ speedup: -1 })],
      ["models.0.decode.0.batch", change({ batch: 1.5 })],
      ["models.0.decode.0.sparse", change({ sparse: undefined })],
      ["models.0.loading.warm", withModel({ loading: { device: "cuda", cold: null } })],
    ] as const) {
      writeFileSync(join(folder, "damaged.json"), JSON.stringify(damaged));
      expect(cliError(["report", "damaged.json", "-o", "x.html"], options), field).toMatchObject({
        ...{ status: 3, code: "E_RECORD" },
        message: expect.stringContaining(field),
      });
    }
    function withModel(changes: object): object {
      return { ...good, models: [{ ...model, ...changes }] };
    }
    function change(changes: object): object {
      return withModel({ decode: [{ ...model!.decode[0], ...changes }] });
    }
  });

  it("refuses what is no record", () => {
    writeFileSync(join(folder, "bad.json"), '{"schema":"spinfer.sweep/1","points":[]}');
    writeFileSync(join(folder, "other.json"), '{"schema":"spinfer.sweep/2"}');
    for (const [path, message] of [
      ["bad.json", "created_by"],
      ["other.json", "spinfer.sweep/2"],
      ["text.txt", "not JSON"],
      ["demo/config.json", "does not say what it is"],
    ] as const) {
      expect(cliError(["report", path, "-o", "x.html"], options)).toMatchObject({
        status: 3,
        code: "E_RECORD",
        message: expect.stringContaining(message),
      });
    }
  });

  it("is a model card of a checkpoint that verify accepts", () => {
    const checkpoint = "sweep/checkpoints/wanda-0.6";
    expect(report("sweep/sweep.json", "--card", checkpoint).status).toBe(0);
    const card = readFileSync(join(folder, checkpoint, "README.md"), "utf8");
    const front = parse(card.split("---\n")[1]!);
    expect(front).toMatchObject({
      library_name: "spinfer",
      license: "apache-2.0",
      tags: ["spinfer", "sparse", "pruned", "wanda", "60-percent"],
    });
    const point = first.points.find(({ name }) => name === "wanda-0.6")!;
    expect(front["model-index"][0].results[0].metrics[0].value).toBe(point.perplexity);
    const verified = cli(["verify", checkpoint, "--progress", "none"], options);
    expect([verified.status, verified.stderr]).toEqual([0, ""]);
    expect(cliError(["report", "kernels.json", "--card", checkpoint], options).code).toBe(
      "E_RECORD",
    );
  });
});

const KERNELS = {
  schema: "spinfer.result/1",
  command: "bench kernels",
  result: {
    gpu: {
      ...{ name: "NVIDIA H100", driver: "580.65", cuda: "13.0" },
      ...{ sm_clock_max_mhz: 1980, power_limit_w: 700 },
    },
    started: "2026-11-23T10:00:00Z",
    method: "Cold L2.",
    cells: [
      {
        ...{ build_version: "0.1.0", matrix: "4096×4096", n_batch: 1, sparsity: 0.5 },
        ...{ baseline: "gemv", ratio: 1.21 },
      },
    ],
    means: [{ n_batch: 1, sparsity: 0.5, cells: 1, ratio: 1.21 }],
  },
};
