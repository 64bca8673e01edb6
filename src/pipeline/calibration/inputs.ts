/** Where a run gets statistics from, decided and checked before anything is written. */
import { existsSync } from "node:fs";
import { SpInferError } from "../../core/errors.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { formatPercent } from "../../core/text.ts";
import { engineLabel, type RunnableModel } from "../../engine/engine.ts";
import { openTextSet } from "../../eval/textSet.ts";
import { checkSmallFile } from "../../io/smallFile.ts";
import type { OnEvent } from "../events.ts";
import type { OpenedModel } from "../openModel.ts";
import type { Plan } from "../plan/steps.ts";
import { type Recipe, readRecipe, recipeToYaml } from "../recipe/index.ts";
import { type RunModelOptions, runModel } from "../runModel.ts";
import { openStatistics, type StatisticsFile, stepsThatNeed } from "./statisticsFile.ts";
import { type CalibrationText, type CalibrationTextOptions, calibrationText } from "./text.ts";

export interface InputOptions extends CalibrationTextOptions, RunModelOptions {
  readonly statistics?: string | undefined;
  readonly onEvent?: OnEvent | undefined;
}

export type ActivationInputs = (
  | { readonly kind: "none" }
  | { readonly kind: "file"; readonly file: StatisticsFile }
  | { readonly kind: "text"; readonly text: CalibrationText; readonly runnable: RunnableModel }
) & {
  /** Tells runs with other statistics apart. */
  readonly fingerprint: string;
  close(): Promise<void>;
};

const nothingToClose = async (): Promise<void> => undefined;

/** Throws E_STATS_MISSING where the plan needs what nobody named, and what reading that throws. */
export async function prepareInputs(
  opened: OpenedModel,
  plan: Plan,
  recipe: Recipe,
  options: InputOptions,
): Promise<ActivationInputs> {
  const warn = (code: string, message: string): void =>
    options.onEvent?.({ type: "warning", code, message });
  const { statistics } = options;
  requireInputs(plan, recipe, statistics);
  if (stepsThatNeed(plan).length === 0) {
    if (recipe.calibration !== undefined || statistics !== undefined)
      warn("W_CALIBRATION", `${methodsOf(plan)} looks at weights alone: nothing is calibrated`);
    return { kind: "none", fingerprint: "", close: nothingToClose };
  }
  if (statistics !== undefined && existsSync(statistics)) {
    const file = await openStatistics(statistics);
    await requireSameText(file, recipe, options);
    const other = prunedOtherwise(file, recipe);
    if (other !== undefined) warn("W_CALIBRATION", other);
    if (recipe.calibration !== undefined && recipe.calibration.data === undefined)
      warn(
        "W_CALIBRATION",
        `${statistics} is used as it was gathered: what else is said about calibrating has no effect`,
      );
    return { kind: "file", file, fingerprint: file.sha256, close: nothingToClose };
  }
  if (statistics !== undefined) checkSmallFile(statistics, false); // it is written when all is done
  return await prepareText(opened, recipe, options, warn);
}

/** The text's windows, and the model made ready to read them. */
export async function prepareText(
  opened: OpenedModel,
  recipe: Recipe,
  options: InputOptions,
  warn: (code: string, message: string) => void,
): Promise<ActivationInputs & { readonly kind: "text" }> {
  const runnable = await runModel(opened, options, (message) => warn("W_ENGINE", message));
  try {
    const { calibration } = recipe;
    if (calibration === undefined) throw new SpInferError("E_INTERNAL", "no calibration");
    const text = await calibrationText(opened, runnable.facts, calibration, options, warn);
    return {
      ...{ kind: "text", text, runnable },
      // another engine makes other last bits, and other masks of what is nearly equal
      fingerprint: `${text.sha256} ${engineLabel(runnable)}`,
      close: () => runnable.close(),
    };
  } catch (error) {
    await runnable.close();
    throw error;
  }
}

/** Throws E_STATS_MISSING; looks at no file but whether the statistics are there. */
export function requireInputs(plan: Plan, recipe: Recipe, statistics: string | undefined): void {
  const [first] = stepsThatNeed(plan);
  if (first === undefined || recipe.calibration?.data !== undefined) return;
  if (statistics !== undefined && existsSync(statistics)) return;
  const { method, options } = first.prune;
  const what = options["allocation"] === "owl" ? "allocation owl" : `method ${method}`;
  throw new SpInferError("E_STATS_MISSING", `${what} needs to see what flows into the matrices`, {
    found: statistics === undefined ? "neither text nor statistics" : `no file ${statistics}`,
    expected: "--calib TEXT, or --stats FILE with statistics that exist",
    hint: "--method magnitude needs no text",
  });
}

/**
 * A text beside statistics says how they were gathered, if they are there already; a length of windows
 * that it does not say is theirs. Throws E_STATS_MISMATCH, and what reading the text throws.
 */
async function requireSameText(
  { path, facts }: StatisticsFile,
  { calibration }: Recipe,
  { limits = DEFAULT_LIMITS }: InputOptions,
): Promise<void> {
  if (calibration?.data === undefined) return;
  const { data, field, nsamples, seqlen = facts.seqlen, windows, seed, mode } = calibration;
  const text = await openTextSet(data, { field, limitBytes: limits.textBytes });
  const settings: readonly (readonly [what: string, found: unknown, asked: unknown])[] = [
    ["text with SHA-256", facts.text_sha256, text.sha256],
    ["--nsamples", facts.nsamples, nsamples],
    ["--seqlen", facts.seqlen, seqlen],
    ["--windows", facts.windows, windows],
    ["--seed", facts.seed, windows === "random" ? seed : facts.seed],
    ["--mode", facts.mode, mode],
  ];
  const other = settings.find(([, found, asked]) => found !== asked);
  if (other === undefined) return;
  const [what, found, asked] = other;
  throw new SpInferError("E_STATS_MISMATCH", `${path}: it was gathered otherwise`, {
    path,
    found: `${what} ${found}`,
    expected: `${what} ${asked}`,
    hint: "to use it as it is leave --calib out; to calibrate anew name a file that is not there yet",
  });
}

/** Sequential statistics are those of one pruning; another one sees inputs that it would not make. */
function prunedOtherwise({ path, facts }: StatisticsFile, recipe: Recipe): string | undefined {
  if (facts.pruned === null) return undefined;
  const before = readRecipe(facts.pruned, path).prune;
  const written = (prune: Recipe["prune"]): string => recipeToYaml({ ...recipe, prune: prune! });
  if (written(before) === written(recipe.prune)) return undefined;
  const { method, sparsity } = before!;
  return `${path}: its inputs passed blocks pruned otherwise (${method}, ${formatPercent(sparsity)}); calibrate anew, or once with --mode one-pass for any pruning`;
}

function methodsOf(plan: Plan): string {
  const methods = new Set(plan.steps.flatMap(({ prune }) => (prune ? [prune.method] : [])));
  return [...methods].join(" and ");
}
