/** The same numbers as transformers and PyTorch with the same protocol, dense and pruned. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { EvalReport } from "../../src/eval/report.ts";
import { cli, cliJson, skipUnless } from "../helpers/cli.ts";
import { fileFolder } from "../helpers/models.ts";
import { describePython, runPython } from "../helpers/python.ts";

const SCRIPT = fileURLToPath(new URL("python/perplexity.py", import.meta.url));
const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const HELDOUT = join(DEMO, "heldout.txt");
const GGUF = process.env["SPINFER_SMOLLM2_GGUF"];
const TOLERANCE = 1e-4;

interface Job {
  readonly model: string;
  readonly base?: string;
  readonly protocol: string;
  readonly ctx: number;
  readonly stride?: number;
  readonly bos?: string;
  readonly max_windows?: number;
}

interface Theirs {
  readonly tokens: number;
  readonly windows: number;
  readonly scored: number;
  readonly perplexity: number;
  readonly papers?: number;
  readonly base?: number;
  readonly kl?: number;
  readonly agreement?: number;
}

/** All in one process: loading PyTorch takes longer than any of them. */
function theirs(jobs: readonly Job[]): Theirs[] {
  const given = jobs.map((job) => ({ text: HELDOUT, batch: 8, threads: 2, ...job }));
  return JSON.parse(runPython(SCRIPT, [JSON.stringify(given)]).toString());
}

function ours({ model, protocol, ctx, stride, bos, max_windows, base }: Job): EvalReport {
  const option = (name: string, value: string | number | undefined): string[] =>
    value === undefined ? [] : [`--${name}`, String(value)];
  return cliJson([
    ...["eval", model, "--dataset", HELDOUT, "--threads", "2"],
    ...option("protocol", protocol),
    ...option("ctx", ctx),
    ...option("stride", stride),
    ...option("bos", bos),
    ...option("max-windows", max_windows),
    ...option("base", base),
  ]) as unknown as EvalReport;
}

function expectNear(value: number, reference: number, what: string): void {
  expect(Math.abs(value / reference - 1), `${what}: ${value}, PyTorch ${reference}`).toBeLessThan(
    TOLERANCE,
  );
}

/** Whatever is counted is the same, whatever is computed is near. */
function expectSame(report: EvalReport, reference: Theirs): void {
  const { windows, scored, perplexity } = reference;
  const { max_windows, ctx, stride } = report;
  // a text of more windows is read as far as the last of them
  const tokens = windows === max_windows ? (windows - 1) * stride + ctx : reference.tokens;
  expect(report).toMatchObject({ tokens, windows, scored });
  expectNear(report.perplexity, perplexity, "perplexity");
  if (reference.papers !== undefined) expectNear(report.perplexity, reference.papers, "as papers");
}

function expectSameBase(report: EvalReport, reference: Theirs): void {
  const base = report.base!;
  expectNear(base.perplexity, reference.base!, "perplexity of the base");
  expectNear(1 + base.delta, reference.perplexity / reference.base!, "ratio");
  expect(base.kl).toBeGreaterThan(0.05);
  // small numbers, each a difference of large ones in float32
  expect(Math.abs(base.kl! / reference.kl! - 1)).toBeLessThan(1e-3);
  expect(Math.abs(base.agreement! - reference.agreement!)).toBeLessThan(2e-3);
}

describePython("perplexity is that of transformers", () => {
  const folder = fileFolder();
  const [packed, pruned] = [join(folder, "packed"), join(folder, "pruned")];
  const dense: readonly Job[] = [
    { model: DEMO, protocol: "wanda", ctx: 512, max_windows: 9 },
    { model: DEMO, protocol: "wanda", ctx: 200, bos: "none", max_windows: 12 },
    { model: DEMO, protocol: "wanda", ctx: 256, bos: "window", max_windows: 9 },
    { model: DEMO, protocol: "llamacpp", ctx: 255, bos: "window", max_windows: 12 },
    { model: DEMO, protocol: "strided", ctx: 192, stride: 100, max_windows: 12 },
  ];
  const beside: Job = { ...dense[0]!, model: pruned, base: DEMO };
  let references: Theirs[] = [];
  beforeAll(() => {
    expect(cli(["prune", DEMO, "-o", packed, "--sparsity", "0.6"]).status).toBe(0);
    // transformers reads the same weights stored dense
    expect(cli(["convert", packed, "-o", pruned, "--to", "dense"]).status).toBe(0);
    references = theirs([...dense, beside]);
  });

  it.each(dense.map((job, i) => [i, job] as const))("dense, %i: %o", (i, job) => {
    expectSame(ours(job), references[i]!);
  });

  it.each([
    ["packed", packed],
    ["dense", pruned],
  ])("pruned, stored %s, beside the dense model", (_, model) => {
    const report = ours({ ...beside, model });
    expectSame(report, references.at(-1)!);
    expectSameBase(report, references.at(-1)!);
  });
});

describe.skipIf(
  skipUnless(GGUF !== undefined && existsSync(GGUF), "SPINFER_SMOLLM2_GGUF names no model"),
)("SmolLM2-135M", () => {
  const folder = fileFolder();
  const [dense, packed, pruned] = [
    join(folder, "dense"),
    join(folder, "packed"),
    join(folder, "pruned"),
  ];
  beforeAll(() => {
    expect(cli(["convert", GGUF!, "-o", dense, "--to", "dense"]).status).toBe(0);
    expect(cli(["prune", dense, "-o", packed, "--sparsity", "0.3"]).status).toBe(0);
    expect(cli(["convert", packed, "-o", pruned, "--to", "dense"]).status).toBe(0);
  });

  describePython("has the perplexity of transformers", () => {
    it("dense, and pruned beside the dense model", () => {
      const half: Job = {
        model: dense,
        protocol: "llamacpp",
        ctx: 512,
        bos: "none",
        max_windows: 2,
      };
      const beside: Job = {
        model: pruned,
        base: dense,
        protocol: "wanda",
        ctx: 512,
        max_windows: 2,
      };
      const [first, second] = theirs([half, beside]);
      expectSame(ours(half), first!);
      const report = ours({ ...beside, model: packed });
      expectSame(report, second!);
      expectSameBase(report, second!);
    });
  });

  it("is evaluated straight from its GGUF, with the tokenizer that is in it", () => {
    const job = { protocol: "wanda", ctx: 128, max_windows: 1 };
    const [fromGguf, fromFolder] = [ours({ ...job, model: GGUF! }), ours({ ...job, model: dense })];
    expect(fromGguf.tokens).toBe(fromFolder.tokens);
    expect(fromGguf.perplexity).toBeCloseTo(fromFolder.perplexity, 6);
  });
});
