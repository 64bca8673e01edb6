/** tune: measure every kernel on a model's shapes and keep what was fastest. */
import { tuneModel } from "../../pipeline/tune/tune.ts";
import { number, numbers } from "../commandLine/lists.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { tuneDocument, tuneResult, tuneTable } from "../views/tune.ts";

const MOST_TOKENS = 65_536;

export async function tune(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, onEvent, signal, env } = invocation;
  const sparsity = number(given, "sparsity", { least: 0, most: 0.99, whole: false }) ?? 0.5;
  const report = await tuneModel(given.required("model"), {
    tokens: numbers(given, "n", { least: 1, most: MOST_TOKENS, whole: true }) ?? [1, 8, 16],
    sparsity,
    planOnly: given.flag("plan-only"),
    again: given.flag("again"),
    onEvent,
    signal,
    env,
  });
  return {
    result: tuneResult(report),
    document: () => tuneDocument(report),
    table: () => tuneTable(report),
    quiet: report.cache,
  };
}
