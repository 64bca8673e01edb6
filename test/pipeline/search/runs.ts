/** What the tests of the search run: recipes, texts, and what they hear and see of a run. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { evaluateModel } from "../../../src/pipeline/evaluate.ts";
import type { PipelineEvent } from "../../../src/pipeline/events.ts";
import type { RunOptions } from "../../../src/pipeline/execute.ts";
import { readManifest } from "../../../src/pipeline/manifest.ts";
import { type Recipe, readRecipe } from "../../../src/pipeline/recipe/index.ts";
import { fileFolder } from "../../helpers/models.ts";

export const DEMO = fileURLToPath(new URL("../../../models/demo", import.meta.url));
export const folder = fileFolder();
export const TEXT = join(folder, "text.txt");
export const CALIBRATION = join(folder, "calibration.txt");
export const whole = readFileSync(join(DEMO, "heldout.txt"), "utf8");
writeFileSync(TEXT, whole.slice(0, 2500));
writeFileSync(CALIBRATION, whole.slice(-2500));

/** Two windows of 64 tokens: enough for a curve. */
export function recipe(prune: string, calibration = "", evaluation = "max_windows: 2"): Recipe {
  return readRecipe(
    `version: 1
prune: { ${prune} }
${calibration && `calibration: { data: ${JSON.stringify(CALIBRATION)}, nsamples: 2, seqlen: 64${calibration} }`}
evaluation: { data: ${JSON.stringify(TEXT)}, ctx: 64, ${evaluation} }
`,
    "recipe.yaml",
  );
}

export const MAGNITUDE = recipe('target: "ppl<=+40%"');
export const wanda = (mode = "one-pass") =>
  recipe('method: wanda, target: "ppl<=+40%"', `, mode: ${mode}`);

export interface Heard {
  readonly events: PipelineEvent[];
  readonly options: RunOptions;
}

export function listening(more: RunOptions = {}): Heard {
  const events: PipelineEvent[] = [];
  return { events, options: { threads: 0, onEvent: (event) => events.push(event), ...more } };
}

export const begins = (events: readonly PipelineEvent[], phase: string): number =>
  events.filter((event) => event.type === "begin" && event.phase === phase).length;
export const warnings = (events: readonly PipelineEvent[]): string[] =>
  events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
export const manifestOf = (output: string) =>
  readManifest(readFileSync(join(output, "spinfer_manifest.json")), output);
/** What lies beside an output that begins with its name. */
export const beside = (output: string): string[] =>
  readdirSync(dirname(output)).filter(
    (name) => name.startsWith(basename(output)) && name !== basename(output),
  );
export const evaluated = (output: string) =>
  evaluateModel(output, { protocol: "wanda", dataset: TEXT, ctx: 64, maxWindows: 2, threads: 0 });
