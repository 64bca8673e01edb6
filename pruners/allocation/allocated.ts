/** How much of each matrix goes: everywhere the same, or by what a survey of the model finds. */
import { SpInferError } from "../../src/core/errors.ts";
import { z } from "../../src/core/zod.ts";
import type { Amount, PrunerWork } from "../definePruner.ts";
import { owlBounds, owlSurvey, type Share } from "./owl.ts";

export const ALLOCATIONS = ["uniform", "owl"] as const;

/** Options of every method that can share sparsity out; M and λ are read with `owl` alone. */
export const allocationOptions = {
  allocation: z.enum(ALLOCATIONS).default("uniform"),
  outlier_ratio: z.number().gt(0).max(1000).default(5),
  outlier_range: z.number().min(0).max(1).default(0.08),
};

interface AllocationChoice {
  readonly allocation: (typeof ALLOCATIONS)[number];
  readonly outlier_ratio: number;
  readonly outlier_range: number;
}

/** `work` is that of one matrix, once it is known how much of it goes. */
export function allocated(
  amount: Amount,
  choice: AllocationChoice,
  work: (amount: Amount) => PrunerWork,
): PrunerWork {
  const uniform = work(amount);
  if (choice.allocation === "uniform") return uniform;
  const settings = {
    amount,
    ratio: choice.outlier_ratio,
    range: choice.outlier_range,
  };
  const fewest = work(owlBounds(settings));
  return {
    survey: owlSurvey(settings),
    expectNonzeros: (rows, cols) => ({
      most: fewest.expectNonzeros(rows, cols).most,
      expected: uniform.expectNonzeros(rows, cols).expected,
    }),
    prune(weight, context) {
      const share = context.decision as Share | undefined;
      if (share === undefined)
        throw new SpInferError("E_INTERNAL", `${weight.name}: nothing was allocated to it`);
      const { pattern } = amount;
      const own: Amount =
        pattern.kind === "n:m"
          ? { ...amount, pattern: { ...pattern, n: share.keep! } }
          : { ...amount, sparsity: share.sparsity };
      work(own).prune(weight, context);
    },
  };
}
