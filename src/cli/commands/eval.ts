/** eval: how well does a model predict a text, and what did pruning cost? */
import type { EngineChoice } from "../../engine/index.ts";
import { parseGate } from "../../eval/gates.ts";
import type { BosMode, Protocol } from "../../eval/windows.ts";
import { checkSmallFile, writeSmallFile } from "../../io/smallFile.ts";
import { evaluateModel } from "../../pipeline/evaluate.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { evalDocument, evalTable, missedGate } from "../views/eval.ts";

const MOST = 1e9;

export async function evaluate(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, work, signal, onEvent } = invocation;
  const gates = (given.list("gate") ?? []).map(parseGate);
  const path = given.text("report");
  const force = given.flag("force");
  if (path !== undefined) checkSmallFile(path, force);
  const report = await evaluateModel(given.required("model"), {
    ...work,
    dataset: given.text("dataset"),
    field: given.text("field"),
    protocol: (given.text("protocol") ?? "wanda") as Protocol,
    ctx: given.count("ctx", 1, MOST),
    stride: given.count("stride", 1, MOST),
    maxWindows: given.count("max-windows", 1, MOST),
    bos: given.text("bos") as BosMode | undefined,
    tokenizer: given.text("tokenizer"),
    engine: given.text("engine") as EngineChoice | undefined,
    base: given.text("base"),
    compare: given.text("compare"),
    gates,
    onEvent,
    signal,
  });
  if (path !== undefined) {
    await writeSmallFile(path, `${JSON.stringify(report, undefined, 2)}\n`, force);
  }
  const failure = missedGate(report);
  return {
    result: report,
    document: () => evalDocument(report, path),
    table: () => evalTable(report),
    quiet: String(report.perplexity),
    ...(failure === undefined ? {} : { failure }),
  };
}
