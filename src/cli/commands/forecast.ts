/** The plan of a task, from headers only: what `plan` and `--dry-run` show. */
import { availableParallelism } from "node:os";
import { toSpInferError } from "../../core/errors.ts";
import { checkOutput, freeBytes } from "../../io/outputFolder.ts";
import { requireInputs } from "../../pipeline/calibration/inputs.ts";
import { openModel } from "../../pipeline/openModel.ts";
import { aimRecipe } from "../../pipeline/plan/aim.ts";
import { makePlan } from "../../pipeline/plan/plan.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { planDocument, planResult, planTable } from "../views/plan.ts";
import type { Task } from "./task.ts";

export async function forecast(
  invocation: Invocation,
  task: Task,
  command: "plan" | "prune" | "convert" | "run",
): Promise<Outcome> {
  const { arguments: given, work } = invocation;
  const { output } = task;
  const { archive, location } = await openModel(task.model, {
    ...work,
    dtype: task.recipe.convert.dtype,
    keepUnknown: given.flag("keep-unknown"),
  });
  const planning = { threads: work.threads ?? availableParallelism(), limits: work.limits };
  const recipe = aimRecipe(archive, task.recipe, planning);
  const plan = makePlan(archive, recipe, planning);
  requireInputs(plan, recipe, given.text("stats"));
  for (const message of plan.warnings) invocation.warn({ code: "W_PLAN", message });
  if (output !== undefined) {
    try {
      checkOutput({ path: output, inputs: [location.folder], force: given.flag("force") });
    } catch (thrown) {
      invocation.warn({
        code: "W_OUTPUT",
        message: `the run would end at once: ${toSpInferError(thrown).message}`,
      });
    }
  }
  const facts = { plan, recipe, output, freeBytes: freeBytes(output ?? "."), command };
  const result = planResult(facts);
  return {
    result,
    document: () => planDocument(facts, result, given.flag("tensors")),
    table: () => planTable(result),
    quiet: String(plan.totals.bytesOut),
  };
}
