/** A search that is interrupted goes on to the same bytes, and is not mixed up with another one. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RunOptions } from "../../../src/pipeline/execute.ts";
import type { Recipe } from "../../../src/pipeline/recipe/index.ts";
import { runRecipe } from "../../../src/pipeline/runRecipe.ts";
import { folderHashes, temporaryFolder } from "../../helpers/models.ts";

import { begins, beside, DEMO, listening, MAGNITUDE, recipe, wanda } from "./runs.ts";

describe("interrupted", () => {
  /** Stops at the n-th event of a phase that is not found done. */
  const stopping = (phase: string, n: number, more: RunOptions = {}): RunOptions => {
    const stop = new AbortController();
    let seen = 0;
    return {
      threads: 0,
      signal: stop.signal,
      onEvent(event) {
        if (event.type !== "item" || event.phase !== phase || event.resumed) return;
        if (++seen === n) stop.abort();
      },
      ...more,
    };
  };

  it.each([
    ["in the first evaluation", "evaluate", 1, "refuse"],
    ["after the dense model", "search", 1, "resume"],
    ["in its calibration", "calibrate", 2, "resume"],
    ["while it prunes a try", "prune", 3, "resume"],
    ["after two tries", "search", 3, "resume"],
  ] as const)("%s, it goes on to the same bytes", async (_, phase, n, then) => {
    const work = temporaryFolder();
    const [undisturbed, output] = [join(work, "undisturbed"), join(work, "out")];
    await runRecipe(DEMO, undisturbed, wanda(), { threads: 0 });
    await expect(runRecipe(DEMO, output, wanda(), stopping(phase, n))).rejects.toMatchObject({
      code: "E_CANCELLED",
    });
    expect(existsSync(output)).toBe(false);
    const { events, options } = listening({ unfinished: then });
    const { search } = await runRecipe(DEMO, output, wanda(), options);
    expect(folderHashes(output)).toEqual(folderHashes(undisturbed));
    expect(beside(output)).toEqual([]);
    const known = events.filter(
      (event) => event.type === "item" && event.phase === "search" && event.resumed,
    ).length;
    expect(begins(events, "evaluate")).toBe(1 + search!.tries.length - known);
    if (then === "resume") expect(known).toBeGreaterThan(0);
  });

  it("while the output is written, it goes on with that", async () => {
    const work = temporaryFolder();
    const [undisturbed, output] = [join(work, "undisturbed"), join(work, "out")];
    const { search } = await runRecipe(DEMO, undisturbed, MAGNITUDE, { threads: 0 });
    const evaluations = search!.tries.length;
    const each = 38; // tensors
    const last = stopping("prune", evaluations * each + 20);
    await expect(runRecipe(DEMO, output, MAGNITUDE, last)).rejects.toMatchObject({
      code: "E_CANCELLED",
    });
    expect(beside(output).sort()).toEqual(
      ["out.spinfer-journal", "out.spinfer-partial", "out.spinfer-search"].sort(),
    );
    const { events, options } = listening({ unfinished: "resume" });
    const report = await runRecipe(DEMO, output, MAGNITUDE, options);
    expect(report.resumedTensors).toBeGreaterThan(10);
    expect(begins(events, "evaluate")).toBe(0);
    expect(folderHashes(output)).toEqual(folderHashes(undisturbed));
    expect(beside(output)).toEqual([]);
  });

  it("is not mixed up with another one", async () => {
    const output = join(temporaryFolder(), "out");
    await expect(runRecipe(DEMO, output, MAGNITUDE, stopping("search", 2))).rejects.toMatchObject({
      code: "E_CANCELLED",
    });
    const run = (asked: Recipe, unfinished?: RunOptions["unfinished"]) =>
      runRecipe(DEMO, output, asked, { threads: 0, unfinished });
    await expect(run(MAGNITUDE)).rejects.toMatchObject({ code: "E_PARTIAL_EXISTS" });
    for (const other of [
      recipe('target: "ppl<=+41%"'),
      recipe('target: "ppl<=+40%"', "", "max_windows: 3"),
      recipe('target: "ppl<=+40%", ignore: [q_proj]'),
    ])
      await expect(run(other, "resume")).rejects.toMatchObject({ code: "E_RESUME_MISMATCH" });
    await run(MAGNITUDE, "restart");
    await expect(run(MAGNITUDE, "resume")).rejects.toMatchObject({ code: "E_NOTHING_TO_RESUME" });
    expect(beside(output)).toEqual([]);
  });

  it("with a record that is damaged, it does not go on", async () => {
    const output = join(temporaryFolder(), "out");
    await expect(runRecipe(DEMO, output, MAGNITUDE, stopping("search", 2))).rejects.toMatchObject({
      code: "E_CANCELLED",
    });
    writeFileSync(`${output}.spinfer-search/search.json`, "{");
    const run = runRecipe(DEMO, output, MAGNITUDE, { threads: 0, unfinished: "resume" });
    await expect(run).rejects.toMatchObject({ code: "E_RESUME_MISMATCH" });
  });
});
