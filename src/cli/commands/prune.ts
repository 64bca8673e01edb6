/** prune, plan and run: a recipe, from the command line or a file, planned or executed. */
import { SpInferError } from "../../core/errors.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { execute } from "./execute.ts";
import { forecast } from "./forecast.ts";
import { readTask, type Task } from "./task.ts";

export async function prune(invocation: Invocation): Promise<Outcome> {
  const file = invocation.arguments.text("recipe");
  const task = await readTask(invocation, "prune", file);
  if (task.recipe.prune === undefined) {
    throw new SpInferError("E_USAGE", `${file}: the recipe has no prune section`, {
      hint: "to convert without pruning: spinfer run RECIPE, or spinfer convert MODEL",
    });
  }
  return await perform(invocation, task, "prune");
}

export async function plan(invocation: Invocation): Promise<Outcome> {
  const task = await readTask(invocation, "prune", invocation.arguments.text("recipe"));
  return await forecast(invocation, task, "plan");
}

export async function run(invocation: Invocation): Promise<Outcome> {
  const task = await readTask(invocation, "convert", invocation.arguments.required("recipe"));
  return await perform(invocation, task, "run");
}

export async function perform(
  invocation: Invocation,
  task: Task,
  command: "prune" | "convert" | "run",
): Promise<Outcome> {
  if (invocation.arguments.flag("dry-run")) return await forecast(invocation, task, command);
  return await execute(invocation, task, command);
}
