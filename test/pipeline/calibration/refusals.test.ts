/** What calibrating refuses: statistics and texts that are missing, damaged or of something else. */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { calibrateModel } from "../../../src/pipeline/calibration/calibrateModel.ts";
import { executeRecipe, type RunOptions } from "../../../src/pipeline/execute.ts";
import { temporaryFolder } from "../../helpers/models.ts";
import { DEMO, gatheredGram, recipe, SPARSEGPT, TEXT, threads, WANDA } from "./runs.ts";

const gram = gatheredGram();

describe("what is refused", () => {
  const run = (options: RunOptions, asked = recipe(WANDA)) =>
    executeRecipe(DEMO, join(temporaryFolder(), "out"), asked, { ...threads, ...options });

  it("a method that needs activations, without text or statistics", async () => {
    const { calibration: _, ...without } = recipe(WANDA);
    await expect(run({}, without)).rejects.toMatchObject({ code: "E_STATS_MISSING" });
  });

  it("statistics without what the method needs", async () => {
    const statistics = join(temporaryFolder(), "norms");
    await calibrateModel(DEMO, statistics, recipe(WANDA), threads);
    await expect(run({ statistics }, recipe(SPARSEGPT))).rejects.toMatchObject({
      code: "E_STATS_MISSING",
    });
  });

  it("statistics of another model", async () => {
    const model = join(temporaryFolder(), "other");
    const { output } = await executeRecipe(
      DEMO,
      model,
      recipe("method: magnitude, sparsity: 0.1"),
      threads,
    );
    const asked = recipe(WANDA);
    const out = join(temporaryFolder(), "out");
    await expect(
      executeRecipe(output, out, asked, { ...threads, statistics: gram }),
    ).rejects.toMatchObject({ code: "E_STATS_MISMATCH" });
  });

  it.each([
    ["text", { data: "text" }],
    ["--nsamples 6", { nsamples: 7 }],
    ["--seqlen 64", { seqlen: 32 }],
    ["--windows first", { windows: "random" }],
    ["--mode one-pass", { mode: "sequential" }],
  ] as const)("statistics of another %s than is asked for beside them", async (found, changes) => {
    const asked = recipe(WANDA);
    const calibration = { ...asked.calibration!, ...changes };
    if ("data" in changes) {
      calibration.data = join(temporaryFolder(), "text.txt");
      writeFileSync(calibration.data, readFileSync(TEXT).subarray(0, 9000));
    }
    await expect(run({ statistics: gram }, { ...asked, calibration })).rejects.toMatchObject({
      code: "E_STATS_MISMATCH",
      detail: { found: expect.stringContaining(found), hint: expect.stringContaining("--calib") },
    });
  });

  it("a place for statistics that does not exist, before any work", async () => {
    const statistics = join(temporaryFolder(), "no", "stats");
    const events: string[] = [];
    const onEvent: RunOptions["onEvent"] = (event) => events.push(event.type);
    await expect(run({ statistics, onEvent })).rejects.toMatchObject({ code: "E_PATH" });
    expect(events).not.toContain("item");
  });

  it.each([
    ["cut short", (bytes: Buffer) => bytes.subarray(0, bytes.length - 8)],
    ["changed", (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.of(0x55)])],
    ["something else", () => Buffer.from("not a statistics file at all")],
    ["empty", () => Buffer.alloc(0)],
    ["of a wild length", () => Buffer.alloc(64, 0xff)],
  ])("a statistics file that is %s", async (_, damage) => {
    const statistics = join(temporaryFolder(), "stats");
    writeFileSync(statistics, damage(readFileSync(gram)));
    await expect(run({ statistics })).rejects.toMatchObject({ code: "E_STATS_FILE" });
  });

  it("NU-03 a text that is shorter than the windows, with how many would fit", async () => {
    const text = join(temporaryFolder(), "short.txt");
    writeFileSync(text, readFileSync(TEXT, "utf8").slice(0, 600));
    const asked = recipe(WANDA);
    const short = { ...asked, calibration: { ...asked.calibration!, data: text } };
    await expect(run({}, short)).rejects.toMatchObject({
      code: "E_TEXT_SHORT",
      detail: { hint: expect.stringContaining("--nsamples") },
    });
  });

  it("a statistics file in the place of another file", async () => {
    const output = join(temporaryFolder(), "stats");
    copyFileSync(gram, output);
    await expect(calibrateModel(DEMO, output, recipe(WANDA), threads)).rejects.toMatchObject({
      code: "E_OUTPUT_EXISTS",
    });
    rmSync(output);
  });
});
