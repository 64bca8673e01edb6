/** A sweep that is cancelled in its calibration does the blocks that are done no second time. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { PipelineEvent } from "../../src/pipeline/events.ts";
import { makePoints } from "../../src/pipeline/sweep/points.ts";
import { type SweepOptions, sweepModel } from "../../src/pipeline/sweep/sweep.ts";
import { temporaryFolder } from "../helpers/models.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));

it("goes on with the block that it was at", async () => {
  const work = temporaryFolder();
  const text = join(work, "text.txt");
  writeFileSync(text, readFileSync(join(DEMO, "heldout.txt"), "utf8").slice(0, 2500));
  const options: SweepOptions = {
    ...{ protocol: "wanda", dataset: text, ctx: 64, maxWindows: 2, threads: 0 },
    calibration: { calib: text, nsamples: 2, seqlen: 64 },
  };
  const points = makePoints(["wanda"], [0.5], []);
  const calibrated: { readonly name: string; readonly resumed: boolean }[] = [];
  const watch = (event: PipelineEvent): void => {
    if (event.type === "item" && event.phase === "calibrate")
      calibrated.push({ name: event.name, resumed: event.resumed });
  };
  const stop = new AbortController();
  const output = join(work, "sweep");
  const stopped = sweepModel(DEMO, output, points, {
    ...options,
    signal: stop.signal,
    onEvent(event) {
      watch(event);
      if (calibrated.length === 2) stop.abort();
    },
  });
  await expect(stopped).rejects.toMatchObject({ code: "E_CANCELLED" });
  expect(calibrated.splice(0).map(({ name }) => name)).toEqual(["block 0", "block 1"]);
  const { record } = await sweepModel(DEMO, output, points, { ...options, onEvent: watch });
  expect(calibrated).toEqual([
    { name: "block 0", resumed: true },
    { name: "block 1", resumed: true },
    { name: "block 2", resumed: false },
    { name: "block 3", resumed: false },
  ]);
  const { record: undisturbed } = await sweepModel(DEMO, join(work, "whole"), points, options);
  expect(record.calibration!.sha256).toBe(undisturbed.calibration!.sha256);
  expect(record.points[0]!.perplexity).toBe(undisturbed.points[0]!.perplexity);
});
