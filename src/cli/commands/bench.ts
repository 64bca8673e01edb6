/** bench kernels: sparse products against the best dense ones, on this machine's GPU. */
import { SpInferError } from "../../core/errors.ts";
import { MASKS } from "../../engine/cuda/index.ts";
import { benchCases } from "../../pipeline/bench/cases.ts";
import { benchKernels, geometricMeans } from "../../pipeline/bench/kernels.ts";
import { choices, number, numbers, words } from "../commandLine/lists.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { benchDocument, benchResult, benchTable } from "../views/bench.ts";

const MOST_TOKENS = 65_536;

export async function benchKernelsCommand(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, onEvent, signal } = invocation;
  const named = ["model", "shapes", "config"].filter((name) => given.has(name));
  if (named.length > 1) {
    throw new SpInferError("E_USAGE", `${named.join(" and ")} both name what is measured`, {
      hint: "give a model, --shapes or --config; without any, the decode shapes are measured",
    });
  }
  const energy = number(given, "energy", { least: 0, most: 60, whole: false }) ?? 0;
  if (given.has("model") && given.has("dtype")) {
    throw new SpInferError("E_USAGE", "--dtype is of drawn matrices; a model has its own", {
      hint: "leave --dtype out, or give --shapes",
    });
  }
  const cases = await benchCases({
    model: given.text("model"),
    shapes: words(given, "shapes"),
    config: given.text("config"),
    masks: choices(given, "mask", MASKS) ?? ["random"],
    sparsities: numbers(given, "sparsity", { least: 0, most: 1, whole: false }) ?? [0.5, 0.6, 0.7],
    dtype: given.text("dtype") === "bf16" ? "BF16" : "F16",
  });
  const report = await benchKernels(cases, {
    tokens: numbers(given, "n", { least: 1, most: MOST_TOKENS, whole: true }) ?? [1, 8, 16],
    energySeconds: energy,
    twoFour: given.flag("two-four"),
    streamLimit: !given.flag("skip-stream-limit"),
    onEvent,
    signal,
  });
  for (const message of report.notes) invocation.warn({ code: "W_BENCH", message });
  const result = benchResult(report);
  return {
    result,
    document: () => benchDocument(report),
    table: () => benchTable(result),
    quiet: geometricMeans(report.rows)
      .map(({ ratio }) => ratio.toFixed(3))
      .join(" "),
  };
}
