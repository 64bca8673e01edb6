/** spinfer eval as its users run it: on the embedded model, with the engines of the package. */
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { readEvalReport } from "../../src/eval/report.ts";
import { cli, cliError, cliJson } from "../helpers/cli.ts";
import { fileFolder } from "../helpers/models.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const folder = fileFolder();
const options = { cwd: folder };
const FEW = ["--ctx", "128", "--max-windows", "4", "--progress", "none"];

beforeAll(() => {
  cpSync(DEMO, join(folder, "demo"), { recursive: true });
  expect(cli(["prune", "demo", "-o", "pruned", "--sparsity", "0.6", "-q"], options).status).toBe(0);
});

/** What people see, without times. */
function shown(...words: string[]): { status: number | null; text: string; stderr: string } {
  const { status, stdout, stderr } = cli(["eval", ...words, ...FEW], options);
  const engine = /\b(?:native \(\w+\)|onnxruntime) in \d+(?:\.\d+)? (?:ms|s)$/gm;
  return { status, text: stdout.replace(engine, "ENGINE in TIME"), stderr };
}

describe("what people see", () => {
  it("NU-06 of one model, with protocol, window, tokens and hashes", () => {
    const { status, text, stderr } = shown("demo");
    expect([status, stderr]).toEqual([0, ""]);
    expect(text).toMatchInlineSnapshot(`
      "protocol wanda · window 128 · BOS once · 4 windows, 508 tokens scored
      text models/demo/heldout.txt sha256 052bbbeaf131… · tokenizer sha256 0d7284eb1fd9…

        model     ppl       ±
        demo   1.4078  0.0452

        ENGINE in TIME
      "
    `);
  });

  it("of a pruned model beside the dense one, with gates", () => {
    const { status, text } = shown(
      "pruned",
      "--base",
      "demo",
      "--gate",
      "ppl<=+5%",
      "--gate",
      "kl<=1",
    );
    expect(status).toBe(4);
    expect(text).toMatchInlineSnapshot(`
      "protocol wanda · window 128 · BOS once · 4 windows, 508 tokens scored
      text models/demo/heldout.txt sha256 052bbbeaf131… · tokenizer sha256 0d7284eb1fd9…

        model   zeros     ppl       ±        Δ     KL  same top
        demo           1.4078  0.0452
        pruned   60 %  1.7140  0.0905  +21.8 %  0.214      90 %

      ✗ gate ppl<=+5%: +21.8 %
      ✓ gate kl<=1: 0.214

        Δ is ± 4.7 %
        ENGINE in TIME
      "
    `);
  });

  it("is one number with --quiet", () => {
    const { stdout, stderr } = cli(["eval", "demo", ...FEW, "-q"], options);
    expect(stderr).toBe("");
    expect(Number(stdout)).toBeCloseTo(
      Number(cliJson(["eval", "demo", ...FEW], options)["perplexity"]),
      9,
    );
  });
});

describe("a gate that is missed", () => {
  it("NU-05 is told on stderr, exits with 4, and leaves the report", () => {
    const words = ["eval", "demo", ...FEW, "--gate", "ppl<=1.01", "--report", "missed.json"];
    const { status, code, message, hint } = cliError(words, options);
    expect({ status, code, message, hint }).toEqual({
      status: 4,
      code: "E_GATE",
      message: "gate ppl<=1.01 was missed",
      hint: "prune less, or loosen the gate",
    });
    const report = readEvalReport(readFileSync(join(folder, "missed.json")), "missed.json");
    expect(report).toMatchObject({ ok: false, gates: [{ gate: "ppl<=1.01", passed: false }] });
  });

  it("is seen before any work when it makes no sense", () => {
    expect(cliError(["eval", "nowhere", "--gate", "ppl<5%"], options)).toMatchObject({
      status: 2,
      code: "E_OPTION",
    });
  });
});

describe("a report", () => {
  it.each([
    ["no/such/folder.json", "E_PATH", "no such folder"],
    ["demo", "E_OUTPUT_EXISTS", "a folder of that name"],
  ])("that cannot be written, %s, is refused before the model is opened", (path, code, text) => {
    const error = cliError(["eval", "nowhere", "--report", path, "--force"], options);
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
  });

  it("is kept unless --force is given, and compared with", () => {
    expect(cli(["eval", "demo", ...FEW, "--report", "dense.json"], options).status).toBe(0);
    const again = ["eval", "pruned", ...FEW, "--report", "dense.json"];
    expect(cliError(again, options)).toMatchObject({ status: 10, code: "E_OUTPUT_EXISTS" });
    const compared = cliJson(["eval", "pruned", ...FEW, "--compare", "dense.json"], options);
    const beside = cliJson(["eval", "pruned", ...FEW, "--base", "demo"], options);
    type Base = { delta: number; source: string; perplexity: number };
    const [fromReport, fromModel] = [compared["base"] as Base, beside["base"] as Base];
    expect([fromReport.source, fromModel.source]).toEqual(["report", "model"]);
    expect(fromReport.delta).toBeCloseTo(fromModel.delta, 6);
    expect(fromReport.delta).toBeGreaterThan(0.05);
    expect(
      cliError(["eval", "pruned", ...FEW, "--bos", "none", "--compare", "dense.json"], options),
    ).toMatchObject({
      status: 2,
      code: "E_EVAL_COMPARE",
      hint: "evaluate with --bos once, or make the report anew",
    });
    expect(cli([...again, "--force"], options).status).toBe(0);
    expect(existsSync(join(folder, "dense.json.spinfer-tmp"))).toBe(false);
  });

  it("that is the envelope of --json is told so", () => {
    const { stdout } = cli(["eval", "demo", ...FEW, "--json"], options);
    writeFileSync(join(folder, "envelope.json"), stdout);
    expect(cliError(["eval", "demo", ...FEW, "--compare", "envelope.json"], options)).toMatchObject(
      {
        code: "E_EVAL_REPORT",
        message: "envelope.json: not an evaluation report but spinfer.result/1",
      },
    );
  });
});

describe("the engines", () => {
  it("give the same perplexity", () => {
    const few = ["--ctx", "64", "--max-windows", "2"];
    const [first, fast, plain] = ["auto", "onnxruntime", "typescript"].map((engine) =>
      cliJson(["eval", "pruned", ...few, "--engine", engine], options),
    );
    expect(plain!["engine"]).toBe("typescript");
    for (const { perplexity } of [first!, fast!])
      expect(Math.abs(Number(perplexity) / Number(plain!["perplexity"]) - 1)).toBeLessThan(1e-5);
  });
});

describe("a model with NaN among its weights", () => {
  it.each([
    [2, "model.layers.2.mlp.up_proj.weight", "after block 2"],
    [3, "model.norm.weight", "after the logits"],
  ])("NU-04 is no model to evaluate: the message names the place (%i)", (i, tensor, where) => {
    const broken = join(folder, `broken${i}`);
    cpSync(DEMO, broken, { recursive: true });
    const path = join(broken, "model.safetensors");
    const bytes = readFileSync(path);
    const header = Number(bytes.readBigUInt64LE());
    const { data_offsets } = JSON.parse(bytes.toString("utf8", 8, 8 + header))[tensor];
    bytes.writeUInt16LE(0x7fc0, 8 + header + data_offsets[0]); // NaN in bf16
    writeFileSync(path, bytes);
    const { status, code, message } = cliError(["eval", broken, ...FEW], options);
    expect([status, code]).toEqual([4, "E_ACTIVATIONS"]);
    expect(message).toContain(where);
    expect(cliError(["eval", "demo", ...FEW, "--base", broken], options).message).toContain(
      `--base: `,
    );
  });
});
