/** calibrate: activation statistics in a file of their own. */
import { SpInferError } from "../../core/errors.ts";
import { formatBytes, formatDuration } from "../../core/text.ts";
import type { EngineChoice } from "../../engine/index.ts";
import {
  type CalibrateReport,
  calibrateModel,
  requireText,
} from "../../pipeline/calibration/calibrateModel.ts";
import { withSparsity } from "../../pipeline/plan/aim.ts";
import { perplexityLimit, type Recipe } from "../../pipeline/recipe/index.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { faint, good, lines } from "../output/document.ts";
import type { CalibrateResult } from "../schemas/calibrate.ts";
import { counted, quoted } from "../views/words.ts";
import { ifUnfinished } from "./execute.ts";
import { readTask } from "./task.ts";

export async function calibrate(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, work, signal, onEvent } = invocation;
  const file = given.text("recipe");
  const task = await readTask(invocation, "prune", file);
  requireText(task.recipe);
  const output = given.text("output");
  if (output === undefined) {
    throw new SpInferError("E_USAGE", "calibrate needs a file to write to", {
      expected: "-o FILE, which does not exist yet",
    });
  }
  const recipe = onePassUnlessAsked(task.recipe, file !== undefined || given.has("mode"));
  const report = await calibrateModel(task.model, output, recipe, {
    ...work,
    tokenizer: given.text("tokenizer"),
    engine: given.text("engine") as EngineChoice | undefined,
    unfinished: ifUnfinished(invocation),
    onEvent,
    signal,
  });
  const result = resultOf(report);
  return {
    result,
    document: () => [
      lines(
        [
          good("✓"),
          ` wrote ${output} (${formatBytes(result.bytes)}) in ${formatDuration(result.elapsed_ms)}`,
        ],
        [
          `  inputs of ${counted(result.weights, "weight")} over ${result.nsamples} × ${result.seqlen} tokens, ${result.mode}`,
        ],
        [
          faint("  next: "),
          `spinfer prune ${quoted(task.model)} --stats ${quoted(output)} -o DIR --sparsity 0.5`,
        ],
      ),
    ],
    quiet: report.output,
  };
}

/** A file to prune by at any sparsity is of the model as it is. */
function onePassUnlessAsked(recipe: Recipe, asked: boolean): Recipe {
  const { calibration } = recipe;
  if (calibration === undefined) return recipe;
  const mode = asked ? calibration.mode : "one-pass";
  const gathered: Recipe = { ...recipe, calibration: { ...calibration, mode } };
  // one pass over the dense model is the same whatever is pruned afterwards
  const anySparsity = mode === "one-pass" && perplexityLimit(recipe.prune?.target) !== undefined;
  return anySparsity ? withSparsity(gathered, 0.5) : gathered;
}

function resultOf(report: CalibrateReport): CalibrateResult {
  const { output, bytes, sha256, weights, gram, facts, elapsedMs } = report;
  const { mode, nsamples, seqlen, windows, seed, text_sha256, engine } = facts;
  return {
    ...{ output, bytes, sha256, weights, gram, mode, nsamples, seqlen, windows, seed },
    ...{ tokens: nsamples * seqlen, text_sha256, engine, elapsed_ms: Math.round(elapsedMs) },
  };
}
