/**
 * Which sparsity to try next for the largest one that meets a perplexity limit. Pure.
 *
 * Perplexity is taken to grow with sparsity. What ln(perplexity / dense perplexity) loses by pruning
 * grows about exponentially with sparsity, so its logarithm is interpolated; where that does not
 * close in, the bracket is halved. Only what was measured to meet the limit is ever an answer.
 */

/** Sparsities that are tried are multiples of 1 / STEPS. */
export const STEPS = 1000;
/** Evaluations of pruned models at most; most searches need three to six. */
export const MOST_TRIES = 16;

/** Of the limit, and of what lies between the dense model's perplexity and the limit. */
const NEAR_LIMIT = 0.01;
const NEAR_ROOM = 0.1;
const FIRST_STEP = 500;
/** How fast the logarithm of the loss grows where only one try tells: models lie around it. */
const SLOPE = 16 / STEPS;
/** The farthest that a guess leaves what was measured. */
const FARTHEST = 200;
/** After so many tries that all missed what pruning nothing gives is looked at; a near miss has more. */
const MISSES = 3;
const NEAR_MISSES = 5;

export interface Goal {
  readonly dense: number;
  /** At least `dense`. */
  readonly limit: number;
}

export interface Point {
  /** Sparsity · STEPS. */
  readonly step: number;
  /** null: it was no number. */
  readonly perplexity: number | null;
}

/** near: as near to the limit as is asked for; grid: one step more misses it; tries: they ran out. */
export type Ending = "near" | "grid" | "tries";

export type NextTry =
  | { readonly try: number }
  | { readonly found: Point; readonly ending: Ending }
  | { readonly unmet: true };

/** `points` in the order in which they were measured. */
export function nextTry(points: readonly Point[], goal: Goal): NextTry {
  const high = lowestMiss(points, goal);
  const best = bestOf(points, goal);
  if (best === undefined) {
    if (high === 0 || points.length >= MOST_TRIES) return { unmet: true };
    const nearly = points.some(
      ({ perplexity }) => perplexity !== null && isNearMiss(perplexity, goal),
    );
    if (high === 1 || points.length === (nearly ? NEAR_MISSES : MISSES)) return { try: 0 };
  } else {
    if (goal.limit - best.perplexity! <= tolerance(goal)) return { found: best, ending: "near" };
    if (high - best.step <= 1) return { found: best, ending: "grid" };
    if (points.length >= MOST_TRIES) return { found: best, ending: "tries" };
  }
  const low = best?.step ?? -1;
  return { try: guess(points, goal, low, high) };
}

/** The largest that meets the limit below all that miss it. */
export function bestOf(points: readonly Point[], goal: Goal): Point | undefined {
  const high = lowestMiss(points, goal);
  return points
    .filter((point) => meets(point, goal) && point.step < high)
    .reduce<Point | undefined>((a, b) => (a === undefined || b.step > a.step ? b : a), undefined);
}

function lowestMiss(points: readonly Point[], goal: Goal): number {
  return points
    .filter((point) => !meets(point, goal))
    .reduce((least, { step }) => Math.min(least, step), STEPS);
}

export function meets({ perplexity }: Point, { limit }: Goal): boolean {
  return perplexity !== null && perplexity <= limit;
}

/** Not farther above the limit than the limit is above the dense model's perplexity. */
function isNearMiss(perplexity: number, { dense, limit }: Goal): boolean {
  return perplexity - limit <= limit - dense;
}

/** How far below the limit is near enough. */
function tolerance({ dense, limit }: Goal): number {
  return Math.min(NEAR_LIMIT * limit, NEAR_ROOM * (limit - dense));
}

/** A step strictly between `low` and `high`. */
function guess(points: readonly Point[], goal: Goal, low: number, high: number): number {
  const within = (step: number): number => Math.min(Math.max(Math.round(step), low + 1), high - 1);
  if (points.length === 0) return FIRST_STEP;
  const aim = logLoss(goal.limit - tolerance(goal) / 2, goal);
  const known = points
    .filter(({ perplexity }) => perplexity !== null)
    .map(({ step, perplexity }) => ({ step, loss: logLoss(perplexity!, goal) }))
    .sort((a, b) => a.step - b.step);
  const below = known.findLast(({ step }) => step === low);
  const above = known.find(({ step }) => step === high);
  const middle = (low + high) / 2;
  if (!Number.isFinite(aim)) return within(middle);
  if (below !== undefined && above !== undefined) {
    const share = (aim - below.loss) / (above.loss - below.loss);
    if (stalls(points, goal) || !(share > 0 && share < 1)) return within(middle);
    return within(below.step + share * (above.step - below.step));
  }
  const end = below ?? above;
  if (end === undefined || (below !== undefined && high < STEPS)) return within(middle);
  const away = (aim - end.loss) / slopeOf(known);
  return within(end.step + Math.min(Math.max(away, -FARTHEST), FARTHEST));
}

/** ln of what is lost: of ln(perplexity / dense), but of no less than a thousandth of the goal's. */
function logLoss(perplexity: number, { dense, limit }: Goal): number {
  const least = Math.log(limit / dense) / 1000;
  return Math.log(Math.max(Math.log(perplexity / dense), least));
}

/** Between the outermost of what is known, where that is a slope that models have. */
function slopeOf(known: readonly { readonly step: number; readonly loss: number }[]): number {
  const [first, last] = [known[0]!, known.at(-1)!];
  const slope = (last.loss - first.loss) / (last.step - first.step);
  return slope > SLOPE / 8 && slope < SLOPE * 8 ? slope : SLOPE;
}

/** Interpolation came from one side twice in a row: the other end of the bracket stays where it is. */
function stalls(points: readonly Point[], goal: Goal): boolean {
  const [a, b] = points.slice(-2).map((point) => meets(point, goal));
  return points.length > 3 && a === b;
}
