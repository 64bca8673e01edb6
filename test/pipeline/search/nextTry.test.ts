/** Which sparsities a search tries, on curves that are known. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Goal,
  MOST_TRIES,
  type NextTry,
  nextTry,
  type Point,
  STEPS,
} from "../../../src/pipeline/search/nextTry.ts";

type Curve = (sparsity: number) => number | null;

/** Follows the search to its end; the perplexity of a step is that of the curve. */
function search(curve: Curve, goal: Goal): { end: NextTry; points: Point[] } {
  const points: Point[] = [];
  for (;;) {
    const end = nextTry(points, goal);
    if (!("try" in end)) return { end, points };
    expect(points.map(({ step }) => step)).not.toContain(end.try);
    points.push({ step: end.try, perplexity: curve(end.try / STEPS) });
  }
}

/** Through measured points: ln(perplexity / dense) grows exponentially between two of them. */
function through(dense: number, measured: Readonly<Record<string, number>>): Curve {
  const losses = Object.entries(measured).map(
    ([s, perplexity]) => [Number(s), Math.log(Math.log(perplexity / dense))] as const,
  );
  return (sparsity) => {
    const i = Math.max(
      1,
      losses.findIndex(([s], at) => s >= sparsity || at === losses.length - 1),
    );
    const [[s0, a], [s1, b]] = [losses[i - 1]!, losses[i]!];
    return dense * Math.exp(Math.exp(a + ((sparsity - s0) / (s1 - s0)) * (b - a)));
  };
}

describe("a search on curves as models have them", () => {
  const wanda = through(24.85, { 0.1: 24.9, 0.3: 26.9, 0.5: 48.353, 0.6: 110.436, 0.8: 4000 });
  const magnitude = through(1.449, { 0.1: 1.4492, 0.5: 1.5157, 0.6: 1.916, 0.7: 5.1765, 0.9: 400 });

  it.each([
    ["wanda", wanda, 24.85, 0.01, 6],
    ["wanda", wanda, 24.85, 0.05, 5],
    ["wanda", wanda, 24.85, 0.5, 4],
    ["wanda", wanda, 24.85, 10, 6],
    ["magnitude", magnitude, 1.449, 0.01, 5],
    ["magnitude", magnitude, 1.449, 0.05, 3],
    ["magnitude", magnitude, 1.449, 1, 6],
  ] as const)("%s: is near the limit after few tries (%#)", (_, curve, dense, above, most) => {
    const goal = { dense, limit: dense * (1 + above) };
    const { end, points } = search(curve, goal);
    expect(points.length).toBeLessThanOrEqual(most);
    const { step, perplexity } = (end as { found: Point }).found;
    expect(perplexity).toBeLessThanOrEqual(goal.limit);
    const miss = goal.limit - perplexity!;
    const oneMore = curve((step + 1) / STEPS)!;
    expect(miss <= 0.01 * goal.limit || oneMore > goal.limit).toBe(true);
  });

  it("prunes nothing where nothing may be lost", () => {
    const { end, points } = search((s) => 10 + s, { dense: 10, limit: 10 });
    expect(end).toEqual({ found: { step: 0, perplexity: 10 }, ending: "near" });
    expect(points.length).toBeLessThanOrEqual(5);
  });

  it("goes to the top where any loss is allowed", () => {
    const { end } = search(() => 11, { dense: 10, limit: 1e9 });
    expect(end).toMatchObject({ found: { step: STEPS - 1 }, ending: "grid" });
  });

  it("gives up early where not even the weights as they are meet it", () => {
    const { end, points } = search((s) => 20 + s, { dense: 10, limit: 11 });
    expect(end).toEqual({ unmet: true });
    expect(points.map(({ step }) => step)).toContain(0);
    expect(points.length).toBeLessThanOrEqual(4);
  });

  it("does not ask what pruning nothing gives after a near miss, but does in the end", () => {
    const goal = { dense: 23.389, limit: 28.067 };
    const points = [
      { step: 500, perplexity: 44.217 },
      { step: 420, perplexity: 31.393 },
      { step: 367, perplexity: 28.07 },
    ];
    const next = nextTry(points, goal) as { try: number };
    expect(next.try).toBeGreaterThan(340);
    expect(next.try).toBeLessThan(367);
    const { end, points: tried } = search(() => 28.07, goal);
    expect(end).toEqual({ unmet: true });
    expect(tried.length).toBeLessThanOrEqual(6);
  });

  it("takes what is no number for too much", () => {
    const curve: Curve = (s) => (s > 0.42 ? null : 10 + s);
    const { end } = search(curve, { dense: 10, limit: 12 });
    expect(end).toMatchObject({ found: { step: 420 }, ending: "grid" });
    expect(search(() => null, { dense: 10, limit: 12 }).end).toEqual({ unmet: true });
  });
});

describe("a search on any curve", () => {
  it("ends, on a point that was measured to meet the limit, the largest below those that miss", () => {
    const goals = fc.record({
      dense: fc.double({ min: 1, max: 1e4, noNaN: true }),
      above: fc.double({ min: 0, max: 50, noNaN: true }),
    });
    // noise, plateaus, cliffs, curves that fall: whatever the model does
    const values = fc.array(fc.double({ min: 0.5, max: 100, noNaN: true }), {
      minLength: 1,
      maxLength: STEPS,
    });
    fc.assert(
      fc.property(goals, values, ({ dense, above }, ratios) => {
        const goal = { dense, limit: dense * (1 + above) };
        const curve: Curve = (s) => dense * ratios[Math.round(s * STEPS) % ratios.length]!;
        const { end, points } = search(curve, goal);
        expect(points.length).toBeLessThanOrEqual(MOST_TRIES);
        for (const { step } of points) expect(step >= 0 && step < STEPS).toBe(true);
        if ("unmet" in end) return;
        const { found } = end as { found: Point };
        expect(points).toContainEqual(found);
        expect(found.perplexity).toBeLessThanOrEqual(goal.limit);
        const missed = points.filter(({ perplexity }) => perplexity! > goal.limit);
        const lowest = Math.min(STEPS, ...missed.map(({ step }) => step));
        const under = points.filter(({ step }) => step < lowest).map(({ step }) => step);
        expect(found.step).toBe(Math.max(...under));
      }),
      { numRuns: 500 },
    );
  });

  it("that grows needs less than seven tries on average, and finds the step before the limit", () => {
    const counts: number[] = [];
    fc.assert(
      fc.property(
        fc.double({ min: 4, max: 40, noNaN: true }),
        fc.double({ min: -12, max: -1, noNaN: true }),
        fc.double({ min: 0.005, max: 4, noNaN: true }),
        (rate, start, above) => {
          const goal = { dense: 10, limit: 10 * (1 + above) };
          const curve: Curve = (s) => 10 * Math.exp(Math.exp(start) * Math.expm1(rate * s));
          const { end, points } = search(curve, goal);
          counts.push(points.length);
          const { step, perplexity } = (end as { found: Point }).found;
          if (goal.limit - perplexity! > 0.01 * goal.limit && step < STEPS - 1)
            expect(curve((step + 1) / STEPS)).toBeGreaterThan(goal.limit);
        },
      ),
      { numRuns: 500, seed: 5 },
    );
    expect(counts.reduce((a, b) => a + b) / counts.length).toBeLessThan(7);
    expect(Math.max(...counts)).toBeLessThanOrEqual(12);
  });
});
