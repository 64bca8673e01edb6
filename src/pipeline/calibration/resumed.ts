/** A statistics file that a longer piece of work needs, gathered however often it is interrupted. */
import { toSpInferError } from "../../core/errors.ts";
import type { IfUnfinished } from "../../io/ifUnfinished.ts";
import { hasUnfinished } from "../../io/outputFolder.ts";
import type { Recipe } from "../recipe/index.ts";
import { type CalibrateOptions, type CalibrateReport, calibrateModel } from "./calibrateModel.ts";

/** Goes on with an interrupted calibration where it was the same, else begins anew. */
export async function calibrateOrGoOn(
  model: string,
  path: string,
  recipe: Recipe,
  options: Omit<CalibrateOptions, "unfinished">,
): Promise<CalibrateReport> {
  const gather = (unfinished: IfUnfinished) =>
    calibrateModel(model, path, recipe, { ...options, unfinished });
  if (!hasUnfinished(path)) return await gather("refuse");
  try {
    return await gather("resume");
  } catch (error) {
    if (toSpInferError(error).code !== "E_RESUME_MISMATCH") throw error;
    return await gather("restart");
  }
}
