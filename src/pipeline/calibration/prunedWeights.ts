/**
 * Prunes the weights of a block on the way, so that the blocks behind it see what has passed pruned
 * ones. They are written to a file of the unfinished output as well, each noted in its journal: what
 * is stored in the end is made of that, and not pruned a second time.
 */
import { denseBytes, type WeightDtype } from "../../core/dtype.ts";
import { isRecord } from "../../core/guards.ts";
import type { DenseTensor } from "../../engine/engine.ts";
import type { Target } from "../../io/copyRange.ts";
import type { OutputFolder } from "../../io/outputFolder.ts";
import { configurePruner } from "../plan/selection.ts";
import type { Plan, TensorStep } from "../plan/steps.ts";
import type { StatsPlaces } from "../survey.ts";
import type { Pool } from "../work/pool.ts";
import type { Paths, PrunedPlace } from "../work/tasks.ts";

const PRUNED_FILE = "pruned.data";

interface PrunedRecord extends Omit<PrunedPlace, "path"> {
  readonly pruned: string;
}

function isPruned(record: unknown): record is PrunedRecord {
  return isRecord(record) && typeof record["pruned"] === "string";
}

export interface PruningOnTheWay {
  readonly plan: Plan;
  readonly paths: Paths;
  readonly pool: Pool;
  readonly output: OutputFolder;
  /** Whether they are kept in the file. */
  readonly keep: boolean;
}

type PrunedStep = TensorStep & Required<Pick<TensorStep, "prune" | "matrix">>;

export class PrunedWeights {
  private readonly way: PruningOnTheWay;
  private readonly path: string;
  private readonly steps = new Map<string, PrunedStep>();
  /** Where each tensor is put in the file. */
  private readonly begins = new Map<string, number>();
  private readonly kept = new Map<string, PrunedPlace>();

  constructor(way: PruningOnTheWay) {
    this.way = way;
    this.path = way.output.pathOf(PRUNED_FILE);
    let at = 0;
    for (const step of way.plan.steps) {
      if (step.prune === undefined || step.matrix === undefined) continue;
      this.steps.set(step.name, step as PrunedStep);
      this.begins.set(step.name, at);
      at += valueBytes(step);
    }
    for (const record of way.output.finished) if (isPruned(record)) this.note(record);
  }

  /** Where they are, by name; those of an earlier run that this one resumes too. */
  get places(): ReadonlyMap<string, PrunedPlace> {
    return this.kept;
  }

  private note({ pruned, ...place }: PrunedRecord): void {
    this.kept.set(pruned, { path: this.path, ...place });
  }

  /** Prunes what is to be pruned of `inputs`: names of weights that read the same input, together. */
  async prune(
    inputs: readonly (readonly string[])[],
    stats: StatsPlaces,
    decisions: ReadonlyMap<string, unknown>,
  ): Promise<ReadonlyMap<string, DenseTensor>> {
    if (this.way.keep) await (await this.way.output.openFile(PRUNED_FILE)).close();
    const groups = inputs
      .map((names) => names.flatMap((name) => this.steps.get(name) ?? []))
      .filter((steps) => steps.length > 0)
      // what takes longest comes first, so that no thread is left with it at the end
      .sort((a, b) => workOf(b) - workOf(a));
    const made = await Promise.all(
      groups.map(async (steps) => await this.pruneTogether(steps, stats, decisions)),
    );
    return new Map(made.flat());
  }

  private async pruneTogether(
    steps: readonly PrunedStep[],
    stats: StatsPlaces,
    decisions: ReadonlyMap<string, unknown>,
  ): Promise<[string, DenseTensor][]> {
    const { pool, paths, keep, output } = this.way;
    const weights = steps.map((step) => {
      const target: Target = { path: this.path, position: this.begins.get(step.name)! };
      return { step, decision: decisions.get(step.name), ...(keep ? { target } : {}) };
    });
    const place = stats.get(steps[0]!.name);
    const { pruned } = await pool.run({ kind: "values", paths, stats: place, weights });
    return steps.map((step, i) => {
      const { values, sha256, counts } = pruned[i]!;
      const begin = this.begins.get(step.name)!;
      const end = begin + valueBytes(step);
      if (keep) {
        const record: PrunedRecord = { pruned: step.name, begin, end, sha256, counts };
        this.note(record);
        output.record(record);
      }
      return [step.name, { shape: step.shape, values }];
    });
  }
}

/** Bytes of the file when all weights are in it. */
export function prunedBytes({ steps }: Plan): number {
  return steps
    .filter(({ prune, matrix }) => prune !== undefined && matrix !== undefined)
    .reduce((sum, step) => sum + valueBytes(step), 0);
}

/** Bytes of a tensor's values in the dtype that it gets. */
function valueBytes({ dtype, shape }: TensorStep): number {
  return denseBytes(dtype as WeightDtype, shape)!;
}

/** Operations, about: with a Gram matrix, one of the inputs is inverted and updated with. */
function workOf(steps: readonly PrunedStep[]): number {
  let work = 0;
  for (const { prune, matrix } of steps) {
    const { rows, cols } = matrix;
    work += rows * cols;
    if (configurePruner(prune).needs.includes("gram")) work += (rows + cols) * cols ** 2;
  }
  return work;
}
