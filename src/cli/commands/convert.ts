/** convert: the same weights, stored another way. */
import { SpInferError } from "../../core/errors.ts";
import { TARGET_FORMATS } from "../../pipeline/recipe/index.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { perform } from "./prune.ts";
import { readTask } from "./task.ts";

export async function convert(invocation: Invocation): Promise<Outcome> {
  if (!invocation.arguments.has("to")) {
    throw new SpInferError("E_USAGE", "convert needs --to", {
      expected: `--to ${TARGET_FORMATS.join(" or --to ")}`,
    });
  }
  return await perform(invocation, await readTask(invocation, "convert", undefined), "convert");
}
