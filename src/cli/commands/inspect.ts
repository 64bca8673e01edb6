/** inspect: what a model is. */
import { SpInferError } from "../../core/errors.ts";
import { compilePattern } from "../../core/selector.ts";
import { nearest } from "../../core/text.ts";
import { type InspectReport, inspectModel, type TensorFacts } from "../../pipeline/inspect.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { inspectDocument, inspectResult, inspectTable } from "../views/inspect.ts";

export async function inspect(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, work, signal, onEvent } = invocation;
  const report = await inspectModel(given.required("model"), {
    ...work,
    stats: given.flag("stats"),
    hash: given.flag("hash"),
    keepUnknown: given.flag("keep-unknown"),
    onEvent,
    signal,
  });
  for (const message of report.warnings) invocation.warn({ code: "W_MODEL", message });
  const pattern = given.text("tensors");
  const top = given.count("top", 1, Number.MAX_SAFE_INTEGER);
  const tensors = largest(chosen(report, pattern ?? ""), top);
  const shown = {
    layers: given.flag("layers"),
    tensors: pattern !== undefined || top !== undefined,
  };
  return {
    result: inspectResult(report, tensors),
    document: () => inspectDocument(report, tensors, shown),
    table: () => inspectTable(report, tensors, shown),
    quiet: String(report.parameters),
  };
}

/** Throws E_NO_TARGET when nothing is left. */
function chosen(report: InspectReport, pattern: string): readonly TensorFacts[] {
  if (pattern === "") return report.tensors;
  const compiled = compilePattern(pattern);
  const found = report.tensors.filter(
    ({ name, role }) => compiled.matches(name) && (compiled.kind !== "linear" || role === "linear"),
  );
  if (found.length > 0) return found;
  const close = nearest(
    pattern,
    report.tensors.map(({ name }) => name),
  );
  throw new SpInferError("E_NO_TARGET", `--tensors: "${pattern}" matches no tensor`, {
    expected: report.tensors[0] === undefined ? undefined : `for example ${report.tensors[0].name}`,
    hint: close === undefined ? undefined : `did you mean "${close}"?`,
  });
}

function largest(
  tensors: readonly TensorFacts[],
  count: number | undefined,
): readonly TensorFacts[] {
  return count === undefined
    ? tensors
    : tensors.toSorted((a, b) => b.bytes - a.bytes).slice(0, count);
}
