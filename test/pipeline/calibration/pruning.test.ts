/** Pruning by activations on the embedded model: sequential and one-pass, cancelled and resumed. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readJournal } from "../../../src/io/journal.ts";
import { calibrateModel } from "../../../src/pipeline/calibration/calibrateModel.ts";
import { openStatistics } from "../../../src/pipeline/calibration/statisticsFile.ts";
import { executeRecipe, type RunOptions } from "../../../src/pipeline/execute.ts";
import { openModel } from "../../../src/pipeline/openModel.ts";
import { readTensor } from "../../../src/pipeline/readTensor.ts";
import { verifyCheckpoint } from "../../../src/pipeline/verify.ts";
import { readStats } from "../../../src/pipeline/work/activationStats.ts";
import { temporaryFolder } from "../../helpers/models.ts";
import { bytesOf, DEMO, gatheredGram, recipe, SPARSEGPT, threads, WANDA } from "./runs.ts";

const gram = gatheredGram();

describe("pruning by activations", () => {
  it.each([
    ["sequential", WANDA],
    ["sequential", SPARSEGPT],
    ["sequential", `${WANDA}, allocation: owl`],
    ["one-pass", `${WANDA}, allocation: owl`],
  ])("%s, %s: verifies in full by the statistics in the output", async (mode, prune) => {
    const output = join(temporaryFolder(), "out");
    await executeRecipe(DEMO, output, recipe(prune, mode), threads);
    const manifest = JSON.parse(readFileSync(join(output, "spinfer_manifest.json"), "utf8"));
    expect(manifest.statistics).toMatchObject({
      ...{ file: "calibration.statistics", nsamples: 6, seqlen: 64, mode, windows: "first" },
    });
    expect(manifest.recipe).not.toContain(DEMO);
    const report = await verifyCheckpoint(output, { ...threads, level: "full", against: DEMO });
    expect(report.findings).toEqual([]);
    expect(report.checks.at(-1)).toMatchObject({ name: "recomputed weights", status: "passed" });
  });

  it("sequential statistics are not those of the dense model after the first block", async () => {
    const output = join(temporaryFolder(), "stats");
    await calibrateModel(DEMO, output, recipe(WANDA, "sequential"), threads);
    const [dense, pruned] = [await openStatistics(gram), await openStatistics(output)];
    const norms = (file: typeof dense, name: string) =>
      readStats(file.places.get(name), ["inputNorms"]).inputNorms!;
    const [first, later] = [0, 3].map((block) => `model.layers.${block}.mlp.down_proj.weight`);
    const relative = (name: string): number => {
      const [a, b] = [norms(dense, name), norms(pruned, name)];
      return Math.max(...a.map((value, i) => Math.abs(value - b[i]!) / Math.abs(value)));
    };
    expect(relative(first!)).toBeLessThan(1e-5);
    expect(relative(later!)).toBeGreaterThan(1e-3);
  });

  it("goes on where it was cancelled, to the same bytes", async () => {
    const work = temporaryFolder();
    const [whole, resumed] = [join(work, "whole"), join(work, "resumed")];
    const asked = recipe(SPARSEGPT, "sequential");
    await executeRecipe(DEMO, whole, asked, threads);
    let before = -1;
    for (let stops = 1; ; stops++) {
      const stop = new AbortController();
      let calibrated = 0;
      const run = executeRecipe(DEMO, resumed, asked, {
        ...threads,
        unfinished: stops === 1 ? "refuse" : "resume",
        signal: stop.signal,
        onEvent(event) {
          if (event.type !== "item" || event.phase !== "calibrate") return;
          if (event.resumed) calibrated++;
          else stop.abort();
        },
      });
      const failed = await run.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failed === undefined) break;
      expect(failed).toMatchObject({ code: "E_CANCELLED" });
      expect(calibrated).toBeGreaterThan(before);
      before = calibrated;
      expect(stops).toBeLessThan(8);
    }
    expect(before).toBeGreaterThan(0);
    for (const name of ["model.safetensors", "calibration.statistics", "spinfer_manifest.json"])
      expect(readFileSync(join(resumed, name)).equals(readFileSync(join(whole, name)))).toBe(true);
  });

  it("goes on with the engine that it began with alone", async () => {
    const output = join(temporaryFolder(), "out");
    const asked = recipe(WANDA, "sequential");
    const stop = new AbortController();
    const begun = executeRecipe(DEMO, output, asked, {
      ...{ ...threads, engine: "onnxruntime", signal: stop.signal },
      onEvent: (event) => event.type === "item" && event.phase === "calibrate" && stop.abort(),
    });
    await expect(begun).rejects.toMatchObject({ code: "E_CANCELLED" });
    const other = executeRecipe(DEMO, output, asked, {
      ...{ ...threads, engine: "typescript", unfinished: "resume" },
    });
    await expect(other).rejects.toMatchObject({ code: "E_RESUME_MISMATCH" });
    const same: RunOptions = { ...threads, engine: "onnxruntime", unfinished: "resume" };
    await executeRecipe(DEMO, output, asked, same);
    const { statistics } = JSON.parse(readFileSync(join(output, "spinfer_manifest.json"), "utf8"));
    expect(statistics.engine).toBe("onnxruntime");
  });

  it("stores what was pruned on the way, or prunes again what is damaged of it", async () => {
    const work = temporaryFolder();
    const [whole, resumed] = [join(work, "whole"), join(work, "resumed")];
    const asked = recipe(SPARSEGPT, "sequential");
    await executeRecipe(DEMO, whole, asked, threads);
    expect(existsSync(join(whole, "pruned.data"))).toBe(false);
    const stop = new AbortController();
    const run = executeRecipe(DEMO, resumed, asked, {
      ...threads,
      signal: stop.signal,
      onEvent(event) {
        if (event.type === "begin" && event.phase === "prune") stop.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ code: "E_CANCELLED" });
    const path = join(`${resumed}.spinfer-partial`, "pruned.data");
    const bytes = readFileSync(path);
    const places = prunedPlaces(`${resumed}.spinfer-journal`);
    expect(places.size).toBe(21); // of 4 blocks, but for the last: nothing comes after it
    const pruned = await openModel(whole);
    for (const [name, [begin, end]] of places) {
      const { bytes: expected } = readTensor(pruned, name);
      expect(bytes.subarray(begin, end).equals(expected), name).toBe(true);
    }
    // one weight is damaged, the later ones are cut off
    bytes[100]! ^= 1;
    writeFileSync(path, bytes.subarray(0, bytes.length / 2));
    await executeRecipe(DEMO, resumed, asked, { ...threads, unfinished: "resume" });
    expect(bytesOf(resumed).equals(bytesOf(whole))).toBe(true);
  });

  it("writes a statistics file that was named and not there, and uses it the next time", async () => {
    const work = temporaryFolder();
    const statistics = join(work, "kept");
    const [first, second] = [join(work, "first"), join(work, "second")];
    await executeRecipe(DEMO, first, recipe(WANDA), { ...threads, statistics });
    expect(existsSync(statistics)).toBe(true);
    await executeRecipe(DEMO, second, recipe(WANDA), { ...threads, statistics });
    expect(bytesOf(second).equals(bytesOf(first))).toBe(true);
    const verified = { ...threads, level: "full", against: DEMO } as const;
    await expect(verifyCheckpoint(first, verified)).resolves.toMatchObject({
      findings: [{ code: "E_STATS_MISSING" }],
    });
    await expect(verifyCheckpoint(first, { ...verified, statistics: gram })).resolves.toMatchObject(
      {
        findings: [{ code: "E_STATS_MISMATCH" }],
      },
    );
    await expect(verifyCheckpoint(first, { ...verified, statistics })).resolves.toMatchObject({
      ok: true,
    });
  });
});

/** Where a journal says that pruned weights are. */
function prunedPlaces(journal: string): Map<string, [number, number]> {
  const { records } = readJournal(journal);
  return new Map(
    (records as Record<string, unknown>[])
      .filter((record) => "pruned" in record)
      .map((record) => [
        String(record["pruned"]),
        [Number(record["begin"]), Number(record["end"])],
      ]),
  );
}
