/** What is gathered of the inputs of linear layers, added up in float64 by the library. */
import type { LayerInputs, Observation, ObservedInputs } from "../engine.ts";
import { type CpuCalls, VALUE } from "./context.ts";
import type { Run } from "./runPlan.ts";

/** Adds what one run sees to `observed`; weights that read the same input share its sums. */
export function observer(
  cpu: CpuCalls,
  observed: ObservedInputs,
  given: {
    readonly prefix: string;
    readonly observe: Exclude<Observation, "none">;
    readonly rows: number;
  },
): NonNullable<Run["observe"]> {
  const { prefix, observe, rows } = given;
  return async (weights, values, columns) => {
    const before = observed.get(prefix + weights[0]!);
    const squares = before?.squares ?? new Float64Array(columns);
    const sums = before?.sums ?? new Float64Array(columns);
    const count = rows * columns;
    await cpu.call("spinfer_cpu_sums", count * VALUE, values, rows, columns, sums, squares);
    let total: LayerInputs = { tokens: (before?.tokens ?? 0) + rows, squares, sums };
    if (observe === "gram") {
      const gram = before?.gram ?? new Float64Array((columns * (columns + 1)) / 2);
      await cpu.call("spinfer_cpu_gram", count * columns, values, rows, columns, gram);
      // the diagonal's own: to those who solve with the matrix both are one
      for (let i = 0; i < columns; i++) squares[i] = gram[(i * (i + 3)) / 2]!;
      total = { ...total, gram };
    }
    for (const weight of weights) observed.set(prefix + weight, total);
  };
}
