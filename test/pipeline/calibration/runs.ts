/** What the tests of calibration share: the embedded model, recipes that calibrate, XᵀX of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll } from "vitest";
import { calibrateModel } from "../../../src/pipeline/calibration/calibrateModel.ts";
import type { RunOptions } from "../../../src/pipeline/execute.ts";
import { type Recipe, readRecipe } from "../../../src/pipeline/recipe/index.ts";
import { fileFolder } from "../../helpers/models.ts";

export const DEMO = fileURLToPath(new URL("../../../models/demo", import.meta.url));
export const TEXT = join(DEMO, "heldout.txt");

export function recipe(prune: string, mode = "one-pass", more = ""): Recipe {
  return readRecipe(
    `version: 1
prune: { ${prune} }
calibration: { data: ${JSON.stringify(TEXT)}, nsamples: 6, seqlen: 64, mode: ${mode}${more} }
convert: { to: dense }
`,
    "recipe.yaml",
  );
}

export const WANDA = "method: wanda, sparsity: 0.5";
export const SPARSEGPT = "method: sparsegpt, sparsity: 0.5";
export const threads: RunOptions = { threads: 0 };

/** Statistics with XᵀX, gathered before the tests of the file that asks for them. */
export function gatheredGram(): string {
  const gram = join(fileFolder(), "gram.safetensors");
  beforeAll(async () => {
    await calibrateModel(DEMO, gram, recipe(SPARSEGPT), threads);
  });
  return gram;
}

export const bytesOf = (output: string): Buffer => readFileSync(join(output, "model.safetensors"));
