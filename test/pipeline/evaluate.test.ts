/** Evaluation from the model's argument to the report, with a model whose losses are known. */
import { createHash } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseGate } from "../../src/eval/gates.ts";
import { evalReportSchema, readEvalReport } from "../../src/eval/report.ts";
import { type EvaluateOptions, evaluateModel } from "../../src/pipeline/evaluate.ts";
import type { PipelineEvent } from "../../src/pipeline/events.ts";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { defaultRecipe } from "../../src/pipeline/recipe/index.ts";
import { type BigramOptions, bigramModel } from "../eval/bigramModel.ts";
import { fileFolder, temporaryFolder } from "../helpers/models.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const HELDOUT = join(DEMO, "heldout.txt");
const VOCABULARY = 1536;
/** Enough for the windows here; the whole text takes a second to tokenise. */
const SHORT = join(fileFolder(), "short.txt");
writeFileSync(SHORT, readFileSync(HELDOUT).subarray(0, 4000));

const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

/** Says the same of every token, but for a model that is `sure` of token 5. */
function table(sure: number): Float32Array {
  return new Float32Array(VOCABULARY ** 2).map((_, i) => (i % VOCABULARY === 5 ? sure : 0));
}
const EVEN = table(0);
const SURE = table(1);

function withModels(
  options: Partial<EvaluateOptions> = {},
  models: Readonly<Record<string, BigramOptions>> = {},
): EvaluateOptions {
  return {
    protocol: "wanda",
    ctx: 64,
    maxWindows: 3,
    dataset: SHORT,
    open: async ({ archive: { label } }) => {
      const chosen = models[label] ?? { table: EVEN };
      return bigramModel({ vocabulary: VOCABULARY, positions: 512, ...chosen });
    },
    ...options,
  };
}

/** A copy of the embedded model with other files. */
function changed(files: Readonly<Record<string, string | undefined>>): string {
  const folder = join(temporaryFolder(), "model");
  cpSync(DEMO, folder, {
    recursive: true,
    filter: (path) =>
      files[path.split("/").at(-1)!] !== undefined || !(path.split("/").at(-1)! in files),
  });
  for (const [name, text] of Object.entries(files))
    if (text !== undefined) writeFileSync(join(folder, name), text);
  return folder;
}

describe("an evaluation", () => {
  it("of the embedded model has its own text, and a report with all provenance", async () => {
    const events: PipelineEvent[] = [];
    const report = await evaluateModel(
      DEMO,
      withModels({ dataset: undefined, onEvent: (event) => events.push(event) }),
    );
    expect(evalReportSchema.parse(report)).toEqual(report);
    expect(report).toMatchObject({
      ok: true,
      model: {
        path: DEMO,
        format: "safetensors",
        family: "bigram",
        manifest_sha256: null,
        files: [{ path: "model.safetensors", sha256: sha256(join(DEMO, "model.safetensors")) }],
        sparsity: null,
      },
      protocol: "wanda",
      ctx: 64,
      stride: 64,
      bos: "once",
      bos_id: 1,
      max_windows: 3,
      dataset: {
        path: "models/demo/heldout.txt",
        kind: "file",
        field: null,
        documents: 1,
        sha256: sha256(HELDOUT),
      },
      tokenizer: {
        sha256: sha256(join(DEMO, "tokenizer.json")),
        settings_sha256: sha256(join(DEMO, "tokenizer_config.json")),
      },
      tokens: 3 * 64, // of 59,884
      windows: 3,
      scored: 3 * 63,
      base: null,
      gates: [],
      engine: "typescript",
    });
    expect(report.perplexity).toBeCloseTo(VOCABULARY, 6);
    expect(report.stderr).toBeCloseTo(0, 9);
    const last = events.findLast((event) => event.type === "item" && event.phase === "evaluate");
    expect(last).toMatchObject({ done: 3, items: 3, note: "ppl 1536.0 ± 0.0" });
    expect(events).toContainEqual({ type: "end", phase: "evaluate" });
  });

  it("of a pruned checkpoint has the hash of its manifest and its sparsity", async () => {
    const output = join(temporaryFolder(), "out");
    await executeRecipe(DEMO, output, defaultRecipe("prune"));
    const { model } = await evaluateModel(output, withModels());
    const manifest = JSON.parse(readFileSync(join(output, "spinfer_manifest.json"), "utf8"));
    expect(model).toMatchObject({
      format: "tile-bitmap",
      manifest_sha256: manifest.manifest_sha256,
      sparsity: 0.5,
    });
  });

  it("beside a base has what changed, and judges it", async () => {
    const base = changed({});
    const report = await evaluateModel(
      DEMO,
      withModels(
        { base, gates: ["ppl<=+5%", "agreement>=95%"].map(parseGate) },
        { [DEMO]: { table: SURE }, [base]: { table: EVEN } },
      ),
    );
    const { perplexity, base: beside } = report;
    expect(beside).toMatchObject({ source: "model", model: { path: base } });
    expect(beside!.delta).toBeCloseTo(perplexity / VOCABULARY - 1, 9);
    // KL(even ‖ sure): ln((1535 + e) / 1536) − 1/1536
    expect(beside!.kl).toBeCloseTo(Math.log((1535 + Math.E) / 1536) - 1 / 1536, 10);
    expect(beside!.agreement).toBe(0); // 0 is the lowest id among equals, 5 the surest
    expect(report.ok).toBe(false);
    expect(report.gates).toEqual([
      { gate: "ppl<=+5%", value: beside!.delta, bound: 0.05, passed: true },
      { gate: "agreement>=95%", value: 0, bound: 0.95, passed: false },
    ]);
  });

  it("beside a report has the change alone", async () => {
    const path = join(temporaryFolder(), "report.json");
    writeFileSync(path, JSON.stringify(await evaluateModel(DEMO, withModels())));
    const options = withModels(
      { compare: path, gates: [parseGate("ppl<=+0%")] },
      { [DEMO]: { table: SURE } },
    );
    const { perplexity, base, ok } = await evaluateModel(DEMO, options);
    expect(base).toMatchObject({ source: "report", kl: null, agreement: null, delta_stderr: null });
    expect(base!.delta).toBeCloseTo(perplexity / VOCABULARY - 1, 9);
    expect(ok).toBe(base!.delta <= 0);
  });
});

describe("an evaluation that cannot be compared", () => {
  const other: readonly [string, Partial<EvaluateOptions>, string][] = [
    ["protocol", { protocol: "llamacpp" }, "the protocol is another"],
    ["window", { ctx: 32 }, "the window is another"],
    ["BOS", { bos: "none" }, "the handling of BOS is another"],
    ["number of windows", { maxWindows: 4 }, "the number of windows is another"],
    ["text", { dataset: join(DEMO, "README.md") }, "the text is another"],
  ];
  it.each(other)(
    "because of another %s is refused before anything is run",
    async (_, options, message) => {
      const path = join(temporaryFolder(), "report.json");
      writeFileSync(path, JSON.stringify(await evaluateModel(DEMO, withModels())));
      const events: PipelineEvent[] = [];
      const run = evaluateModel(
        DEMO,
        withModels({ compare: path, onEvent: (e) => events.push(e), ...options }),
      );
      await expect(run).rejects.toMatchObject({
        code: "E_EVAL_COMPARE",
        exit: 2,
        message: `${path}: ${message}`,
      });
      expect(events.filter((event) => event.type === "item" && event.phase === "evaluate")).toEqual(
        [],
      );
    },
  );

  it("because of another tokenizer is refused", async () => {
    const path = join(temporaryFolder(), "report.json");
    const report = await evaluateModel(DEMO, withModels());
    const tokenizer = { ...report.tokenizer, sha256: "0".repeat(64) };
    writeFileSync(path, JSON.stringify({ ...report, tokenizer }));
    await expect(evaluateModel(DEMO, withModels({ compare: path }))).rejects.toThrow(
      "the tokenizer is another",
    );
  });

  it("because the base tokenises otherwise is refused", async () => {
    const file = JSON.parse(readFileSync(join(DEMO, "tokenizer.json"), "utf8"));
    const spaced = changed({ "tokenizer.json": JSON.stringify(file, undefined, 1) });
    const report = await evaluateModel(DEMO, withModels({ base: spaced }));
    expect(report.base!.delta).toBe(0); // other bytes, the same tokens
    file.model.merges = file.model.merges.slice(0, 100);
    const base = changed({ "tokenizer.json": JSON.stringify(file) });
    await expect(evaluateModel(DEMO, withModels({ base }))).rejects.toMatchObject({
      code: "E_EVAL_COMPARE",
      message: "--base: its tokenizer gives the text other tokens",
    });
  });

  it("because the outputs differ in size is refused", async () => {
    const base = changed({});
    const models = { [base]: { vocabulary: 1600, table: new Float32Array(1600 ** 2) } };
    await expect(evaluateModel(DEMO, withModels({ base }, models))).rejects.toMatchObject({
      code: "E_VOCABULARY",
    });
  });
});

describe("an evaluation that cannot be", () => {
  it.each<[string, Partial<EvaluateOptions>, string, string]>([
    ["--base and --compare", { base: "a", compare: "b" }, "E_USAGE", "--base and --compare both"],
    ["a gate without a base", { gates: [parseGate("kl<=1")] }, "E_USAGE", "needs --base"],
    ["a window that is too long", { ctx: 513 }, "E_OPTION", "at most 512 tokens"],
    ["no such text", { dataset: "/nowhere.txt" }, "E_IO", "/nowhere.txt"],
    ["no such tokenizer", { tokenizer: "/nowhere" }, "E_TOKENIZER", "there is no tokenizer"],
    ["no such report", { compare: "/nowhere.json" }, "E_IO", "/nowhere.json"],
  ])("because of %s is refused", async (_, options, code, message) => {
    await expect(evaluateModel(DEMO, withModels(options))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it("because the text is too short says how many tokens there are", async () => {
    const path = join(temporaryFolder(), "short.txt");
    writeFileSync(path, "Mia has 4 apples.");
    await expect(evaluateModel(DEMO, withModels({ dataset: path }))).rejects.toMatchObject({
      code: "E_TEXT_SHORT",
      exit: 2,
      message: "the text has 7 tokens, fewer than a window",
      detail: { expected: "at least 64 tokens" },
    });
  });

  it("for want of a text is refused, for any model but the embedded one's kin", async () => {
    const file = JSON.parse(readFileSync(join(DEMO, "tokenizer.json"), "utf8"));
    const model = changed({ "tokenizer.json": JSON.stringify(file) });
    await expect(evaluateModel(model, withModels({ dataset: undefined }))).rejects.toMatchObject({
      code: "E_USAGE",
      message: "eval needs a text to evaluate the model on",
    });
  });

  it("NU-07 for want of a tokenizer is refused, unless one is named", async () => {
    const model = changed({ "tokenizer.json": undefined });
    await expect(evaluateModel(model, withModels())).rejects.toMatchObject({
      code: "E_TOKENIZER",
      exit: 3,
    });
    const report = await evaluateModel(model, withModels({ tokenizer: DEMO }));
    expect(report.tokenizer.sha256).toBe(sha256(join(DEMO, "tokenizer.json")));
  });

  it("NU-07 with a tokenizer of another model is refused", async () => {
    const models = { [DEMO]: { vocabulary: 1000, table: new Float32Array(1000 ** 2) } };
    await expect(evaluateModel(DEMO, withModels({}, models))).rejects.toMatchObject({
      code: "E_VOCABULARY",
    });
  });

  it("with added tokens beyond the model warns, until the text has one", async () => {
    const file = JSON.parse(readFileSync(join(DEMO, "tokenizer.json"), "utf8"));
    file.added_tokens.push({ id: 1536, content: "<odd>", special: true });
    const model = changed({ "tokenizer.json": JSON.stringify(file) });
    const events: PipelineEvent[] = [];
    await evaluateModel(model, withModels({ onEvent: (event) => events.push(event) }));
    expect(events.find(({ type }) => type === "warning")).toMatchObject({
      code: "W_TOKENIZER",
      message: expect.stringContaining("1 added tokens are beyond the model's 1536"),
    });
    const path = join(temporaryFolder(), "odd.txt");
    writeFileSync(path, `${readFileSync(HELDOUT, "utf8").slice(0, 3000)}<odd>`);
    await expect(evaluateModel(model, withModels({ dataset: path }))).resolves.toMatchObject({
      windows: 3, // which end before it
    });
    const whole = withModels({ dataset: path, maxWindows: undefined });
    await expect(evaluateModel(model, whole)).rejects.toMatchObject({ code: "E_TOKEN_ID" });
  });

  it("closes every model when one fails", async () => {
    const closed: string[] = [];
    const base = changed({});
    const options = withModels({
      base,
      open: async ({ archive: { label } }) => ({
        ...bigramModel({
          vocabulary: VOCABULARY,
          table: EVEN,
          failure: { block: 0, error: new Error("broken") },
        }),
        close: async () => void closed.push(label),
      }),
    });
    await expect(evaluateModel(DEMO, options)).rejects.toThrow("broken");
    expect(closed.sort()).toEqual([DEMO, base].sort());
  });
});

describe("a report that is read", () => {
  const read = (value: unknown) => readEvalReport(Buffer.from(JSON.stringify(value)), "r.json");

  it("may have fields of a later version", async () => {
    const report = await evaluateModel(DEMO, withModels());
    const later = { ...report, colour: "red", model: { ...report.model, colour: "red" } };
    expect(read(later)).toEqual(report);
  });

  it.each<[unknown, string]>([
    [{}, "r.json: not an evaluation report but no schema"],
    [{ schema: "spinfer.result/1" }, "r.json: not an evaluation report but spinfer.result/1"],
    [{ schema: "spinfer.eval/1" }, "r.json: created_by: "],
  ])("%j is none", (value, message) => {
    expect(() => read(value)).toThrow(message);
    expect(() => readEvalReport(Buffer.from("{"), "r.json")).toThrow(
      "r.json: the file is not JSON",
    );
  });
});
