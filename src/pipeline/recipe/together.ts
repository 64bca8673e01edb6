/** Values that are fine each, and wrong together or for what they mean. */
import type { ErrorCode } from "../../core/errorCodes.ts";
import { SpInferError } from "../../core/errors.ts";
import { compilePattern, patternSteps } from "../../core/selector.ts";
import type { Path } from "./document.ts";
import { patternSparsity, perplexityLimit, type RecipeFile } from "./schema.ts";

/** Steps of all patterns together: under a second to compile. */
const MOST_STEPS = 300_000;

export interface Conflict {
  readonly code: ErrorCode;
  readonly message: string;
  readonly path: Path;
  readonly hint?: string | undefined;
}

interface Settings {
  readonly sparsity?: number | undefined;
  readonly pattern?: string | undefined;
  readonly scope?: string | undefined;
}

export function conflictsOf({ prune, evaluation, convert }: RecipeFile): Conflict[] {
  const unused = evaluationConflicts(evaluation, prune?.target);
  if (prune === undefined) return unused;
  const steps = countSteps(prune);
  if (steps > MOST_STEPS) {
    const message = `the patterns unroll to about ${steps} steps, more than ${MOST_STEPS}`;
    return [{ code: "E_RECIPE_LIMIT", message, path: ["prune"] }];
  }
  const found: Conflict[] = [
    ...unused,
    ...targetConflicts(prune, convert?.to),
    ...settingsConflicts(prune, prune.pattern, ["prune"]),
    ...patternConflicts(prune.targets, ["prune", "targets"]),
    ...patternConflicts(prune.ignore, ["prune", "ignore"]),
  ];
  const implied = patternSparsity(prune.pattern ?? "");
  if (prune.sparsity === undefined && implied === undefined && prune.target === undefined) {
    found.push({
      code: "E_RECIPE_VALUE",
      message: 'key "sparsity" is missing, write sparsity: 0.5 (or pattern: "2:4")',
      path: ["prune"],
    });
  }
  for (const [index, override] of (prune.overrides ?? []).entries()) {
    const path = ["prune", "overrides", index];
    found.push(...settingsConflicts(override, override.pattern ?? prune.pattern, path));
    found.push(...patternConflicts(override.targets, [...path, "targets"]));
    const { targets: _, ...settings } = override;
    if (Object.keys(settings).length === 0) {
      const message = "the override changes nothing, write skip: true or a sparsity";
      found.push({ code: "E_RECIPE_VALUE", message, path });
    }
  }
  return found;
}

function countSteps({ targets, ignore, overrides }: NonNullable<RecipeFile["prune"]>): number {
  const lists = [targets, ignore, ...(overrides ?? []).map((override) => override.targets)];
  return lists.flatMap((list) => list ?? []).reduce((sum, text) => sum + patternSteps(text), 0);
}

/** What is wrong with sparsity, pattern and scope together; the sentence, or undefined. */
export function settingsConflict(
  { sparsity, scope, pattern: ownPattern }: Settings,
  pattern: string | undefined,
): { readonly key: "sparsity" | "scope"; readonly message: string } | undefined {
  const implied = patternSparsity(pattern ?? "");
  if (implied === undefined) return undefined;
  if (sparsity !== undefined && Math.abs(sparsity - implied) > 1e-6) {
    return {
      key: "sparsity",
      message: `sparsity ${sparsity} does not go with pattern ${pattern}, which makes it ${shortest(implied)}, remove sparsity or write pattern: unstructured`,
    };
  }
  if (scope !== undefined && scope !== "matrix" && ownPattern !== undefined) {
    return {
      key: "scope",
      message: `scope ${scope} does not go with pattern ${pattern}, which is decided group by group, remove scope`,
    };
  }
  return undefined;
}

/** What else says how much goes, or leaves the size as it is. */
function targetConflicts(
  { target, sparsity, pattern = "unstructured" }: NonNullable<RecipeFile["prune"]>,
  to: string | undefined,
): Conflict[] {
  if (target === undefined) return [];
  const conflict = (message: string): Conflict[] => [
    { code: "E_RECIPE_VALUE", message, path: ["prune", "target"] },
  ];
  if (sparsity !== undefined) {
    return conflict(
      `target ${target} finds the sparsity, and sparsity ${sparsity} is given, remove one`,
    );
  }
  if (patternSparsity(pattern) !== undefined) {
    return conflict(
      `target ${target} does not go with pattern ${pattern}, which says the sparsity`,
    );
  }
  if (to !== "dense" || perplexityLimit(target) !== undefined) return [];
  return conflict(`target ${target} does not go with to: dense, where zeros take space too`);
}

/** What is measured without a limit decides nothing. */
function evaluationConflicts(
  evaluation: RecipeFile["evaluation"],
  target: string | number | undefined,
): Conflict[] {
  if (evaluation === undefined || perplexityLimit(target) !== undefined) return [];
  const [key] = Object.keys(evaluation);
  return [
    {
      code: "E_RECIPE_VALUE",
      message: `${key ?? "evaluation"} is for a perplexity limit, write target: "ppl<=+5%" or remove it`,
      path: key === undefined ? ["evaluation"] : ["evaluation", key],
      hint: "spinfer eval measures an output",
    },
  ];
}

function settingsConflicts(
  settings: Settings,
  pattern: string | undefined,
  path: Path,
): Conflict[] {
  const conflict = settingsConflict(settings, pattern);
  if (conflict === undefined) return [];
  const { key, message } = conflict;
  return [{ code: "E_RECIPE_VALUE", message, path: [...path, key] }];
}

function patternConflicts(patterns: readonly string[] | undefined, path: Path): Conflict[] {
  return (patterns ?? []).flatMap((pattern, index) => {
    try {
      compilePattern(pattern);
      return [];
    } catch (thrown) {
      if (!(thrown instanceof SpInferError)) throw thrown;
      const { code, message, detail } = thrown;
      return [{ code, message, path: [...path, index], hint: detail.expected ?? detail.hint }];
    }
  });
}

function shortest(fraction: number): string {
  return String(Number(fraction.toPrecision(6)));
}
