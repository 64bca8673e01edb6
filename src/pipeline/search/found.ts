/** From what a search measured to its record. */
import { engineLabel } from "../../engine/engine.ts";
import type { PerplexityLimit } from "../recipe/index.ts";
import { type Goal, meets, type Point, STEPS } from "./nextTry.ts";
import type { SearchRecord, SearchState } from "./record.ts";

/** What goes into the manifest of what was found. */
export function recordOf(
  { text }: PerplexityLimit,
  { dense, tries }: SearchState,
  goal: Goal,
  { found, ending }: { readonly found: Point; readonly ending: SearchRecord["ending"] },
): SearchRecord {
  const chosen = tries.find(({ step }) => step === found.step)!;
  const { protocol, ctx, stride, bos, bos_id, max_windows, windows, tokens, scored } = dense;
  return {
    target: text,
    limit: goal.limit,
    dense: { perplexity: dense.perplexity, stderr: dense.stderr },
    ...{ sparsity: found.step / STEPS, perplexity: found.perplexity!, stderr: chosen.stderr },
    ending,
    tries: tries.map(({ step, zeros, perplexity, stderr }) => ({
      ...{ sparsity: step / STEPS, zeros, perplexity, stderr },
      meets: meets({ step, perplexity }, goal),
    })),
    ...{ protocol, ctx, stride, bos, bos_id, max_windows, windows, tokens, scored },
    dataset_sha256: dense.dataset.sha256,
    tokenizer_sha256: dense.tokenizer.sha256,
    engine: engineLabel(dense),
  };
}
