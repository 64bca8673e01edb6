/** The public API: pruning, conversion, verification and inspection of checkpoints as a library. */

export type { Archive, ModelConfig, TensorEntry } from "./core/archive.ts";
export type { Dtype, WeightDtype } from "./core/dtype.ts";
export { ERROR_CODES, type ErrorCode, EXIT } from "./core/errorCodes.ts";
export { type ErrorDetail, type ErrorRecord, SpInferError } from "./core/errors.ts";
export { DEFAULT_LIMITS, type LimitName, type Limits } from "./core/limits.ts";
export { VERSION } from "./core/version.ts";
export { type Gate, parseGate } from "./eval/gates.ts";
export { type EvalReport, readEvalReport } from "./eval/report.ts";
export { type EvaluateOptions, evaluateModel } from "./pipeline/evaluate.ts";
export type { OnEvent, Phase, PipelineEvent } from "./pipeline/events.ts";
export type { RunOptions } from "./pipeline/execute.ts";
export {
  type Group,
  type InspectOptions,
  type InspectReport,
  inspectModel,
  type TensorFacts,
} from "./pipeline/inspect.ts";
export { type Manifest, type ManifestTensor, readManifest } from "./pipeline/manifest.ts";
export { type OpenedModel, type OpenModelOptions, openModel } from "./pipeline/openModel.ts";
export { aimRecipe } from "./pipeline/plan/aim.ts";
export { makePlan, type PlanOptions } from "./pipeline/plan/plan.ts";
export type {
  Plan,
  PlanTotals,
  PruneSettings,
  ShardPlan,
  TensorStep,
} from "./pipeline/plan/steps.ts";
export { readTensor } from "./pipeline/readTensor.ts";
export { defaultRecipe, type Recipe, readRecipe, recipeToYaml } from "./pipeline/recipe/index.ts";
export { runRecipe as executeRecipe } from "./pipeline/runRecipe.ts";
export type { RunReport } from "./pipeline/runReport.ts";
export type { SearchRecord } from "./pipeline/search/record.ts";
export {
  type Check,
  type VerifyLevel,
  type VerifyOptions,
  type VerifyReport,
  verifyCheckpoint,
} from "./pipeline/verify.ts";
