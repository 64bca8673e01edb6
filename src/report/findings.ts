/** What the figures of a sweep say: the order of methods, and the best at each sparsity. */
import { formatPercent } from "../core/text.ts";
import type { PointData, SweepData } from "./data.ts";

/** In the order of their first points. */
export function methodsOf({ points }: SweepData): readonly string[] {
  return [...new Set(points.map(({ method }) => method))];
}

/** Unstructured points of a method by rising sparsity. */
export function curveOf({ points }: SweepData, method: string): readonly PointData[] {
  return points
    .filter((point) => point.method === method && point.pattern === undefined)
    .sort((a, b) => a.sparsity - b.sparsity);
}

export interface Amount {
  /** "60 %", "2:4" */
  readonly name: string;
  readonly points: readonly PointData[];
  readonly best: PointData;
}

/** What points of several methods share: a sparsity that was asked for, or a pattern. */
export function amountsOf({ points }: SweepData): readonly Amount[] {
  const named = new Map<string, PointData[]>();
  const order = [...points].sort(
    (a, b) =>
      Number(a.pattern !== undefined) - Number(b.pattern !== undefined) || a.asked - b.asked,
  );
  for (const point of order) {
    const name = amountName(point);
    named.set(name, [...(named.get(name) ?? []), point]);
  }
  return [...named].map(([name, list]) => ({
    name,
    points: list,
    best: list.reduce((a, b) => (b.perplexity < a.perplexity ? b : a)),
  }));
}

export function amountName({ pattern, asked }: PointData): string {
  return pattern ?? formatPercent(asked);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
