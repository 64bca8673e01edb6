/** Runs the surveys of pruners that compare across matrices, round by round. */
import type { WeightDtype } from "../core/dtype.ts";
import { groupBy } from "../core/groupBy.ts";
import { type OnEvent, Progress } from "./events.ts";
import { footprint, memoryBudget } from "./plan/memory.ts";
import { configurePruner } from "./plan/selection.ts";
import type { Plan, TensorStep } from "./plan/steps.ts";
import type { StatsPlace } from "./work/activationStats.ts";
import { runOrdered } from "./work/ordered.ts";
import type { Pool } from "./work/pool.ts";
import type { Paths } from "./work/tasks.ts";

/** Where the statistics of each matrix are, by tensor name. */
export type StatsPlaces = ReadonlyMap<string, StatsPlace>;

/** The decision about each matrix that needs one, by tensor name. */
export async function runSurveys(
  plan: Plan,
  paths: Paths,
  pool: Pool,
  onEvent: OnEvent,
  stats?: StatsPlaces,
): Promise<Map<string, unknown>> {
  const decisions = new Map<string, unknown>();
  const groups = groupBy(
    plan.steps.filter(
      ({ prune }) => prune !== undefined && configurePruner(prune).survey !== undefined,
    ),
    ({ prune }) => JSON.stringify(prune),
  );
  for (const steps of groups.values()) {
    for (const [name, decision] of await surveyGroup(steps, { plan, paths, pool, onEvent, stats }))
      decisions.set(name, decision);
  }
  return decisions;
}

interface SurveyCircumstances {
  readonly plan: Plan;
  readonly paths: Paths;
  readonly pool: Pool;
  readonly onEvent: OnEvent;
  readonly stats: StatsPlaces | undefined;
}

/** Matrices with the same settings are compared with one another. */
async function surveyGroup(
  steps: readonly TensorStep[],
  { plan, paths, pool, onEvent, stats }: SurveyCircumstances,
): Promise<Map<string, unknown>> {
  const survey = configurePruner(steps[0]!.prune!).survey!;
  let state = survey.start(
    steps.map(({ name, matrices, matrix, dtype }) => ({
      name,
      rows: matrices * matrix!.rows,
      cols: matrix!.cols,
      dtype: dtype as WeightDtype,
    })),
  );
  const bytes = steps.reduce((sum, { bytesIn }) => sum + bytesIn, 0);
  for (;;) {
    const progress = new Progress(onEvent, "survey", steps.length, bytes);
    const current = state;
    await runOrdered({
      items: steps,
      footprint,
      budget: memoryBudget(plan.steps, plan.threads),
      width: pool.threads + 1,
      start: (step) =>
        pool.run({ kind: "survey", step, paths, state: current, stats: stats?.get(step.name) }),
      finish: async (step, { counts }) => {
        survey.add(current, step.name, counts);
        progress.item(step.name, step.bytesIn);
      },
    });
    progress.end();
    const next = survey.next(current);
    if ("decisions" in next) return next.decisions;
    state = next.round;
  }
}
