/** Executes a task, and verifies what came out. */

import { SpInferError } from "../../core/errors.ts";
import type { EngineChoice } from "../../engine/index.ts";
import { runRecipe } from "../../pipeline/runRecipe.ts";
import { type VerifyLevel, type VerifyReport, verifyCheckpoint } from "../../pipeline/verify.ts";
import { missingOutput } from "../commandLine/complain.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { runDocument, runResult, runTable } from "../views/run.ts";
import { failureOf } from "../views/verify.ts";
import type { Task } from "./task.ts";

export async function execute(
  invocation: Invocation,
  { recipe, model, output }: Task,
  command: "prune" | "convert" | "run",
): Promise<Outcome> {
  const { arguments: given, work, signal, onEvent } = invocation;
  if (output === undefined) throw missingOutput(command);
  const report = await runRecipe(model, output, recipe, {
    ...work,
    keepUnknown: given.flag("keep-unknown"),
    force: given.flag("force"),
    unfinished: ifUnfinished(invocation),
    skipSpaceCheck: given.flag("skip-space-check"),
    statistics: given.text("stats"),
    tokenizer: given.text("tokenizer"),
    engine: given.text("engine") as EngineChoice | undefined,
    onEvent,
    signal,
  });
  for (const message of report.warnings) invocation.warn({ code: "W_VALUES", message });
  const level = (given.text("verify") ?? "hash") as VerifyLevel | "none";
  let verified: VerifyReport | undefined;
  if (level !== "none") {
    verified = await verifyCheckpoint(report.output, {
      ...work,
      level,
      against: model,
      statistics: given.text("stats"),
      keepUnknown: given.flag("keep-unknown"),
      onEvent,
      signal,
    });
  }
  const facts = {
    ...{ report, verified, shownOutput: output, pruned: recipe.prune !== undefined },
    statistics: given.text("stats"),
  };
  const result = runResult(facts);
  const failure = verified === undefined ? undefined : failureOf(verified);
  return {
    result,
    document: () => runDocument(facts),
    table: () => runTable(result),
    quiet: report.output,
    ...(failure === undefined ? {} : { failure }),
  };
}

/** What is done about an unfinished run. Throws E_USAGE. */
export function ifUnfinished({ arguments: given }: Invocation): "refuse" | "resume" | "restart" {
  if (given.flag("resume") && given.flag("restart")) {
    throw new SpInferError("E_USAGE", "--resume and --restart ask for opposite things", {
      hint: "give one of them",
    });
  }
  if (given.flag("resume")) return "resume";
  return given.flag("restart") ? "restart" : "refuse";
}
