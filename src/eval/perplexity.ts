/**
 * Perplexity of a model over planned windows, alone or beside another model.
 *
 *   loss = mean of −ln p(token | tokens before it in its window), over all scored tokens
 *   perplexity = exp(loss)
 *
 * With windows that score equally many tokens this is exp(mean over windows of their mean
 * cross-entropy), the papers' exp(Σ nll_i · ctx / (nsamples · ctx)) with nll_i = mean cross-entropy.
 *
 * Windows go through the model in groups: a group passes one block after the other, so that the
 * weights of one block and the hidden states of one group are all there is in memory, and weights
 * are read once for each group.
 */
import { SpInferError } from "../core/errors.ts";
import type { RunnableModel } from "../engine/engine.ts";
import { type Compared, compareRow } from "./compareLogits.ts";
import { type Estimate, exponential, WindowSums } from "./sums.ts";
import { type Window, type WindowPlan, windowIds } from "./windows.ts";

/** Tokens of a group: many enough that reading weights takes little beside using them. */
const GROUP_TOKENS = 16_384;
/** Bytes of a group's hidden states. */
const GROUP_BYTES = 256 * 1024 * 1024;
/** Tokens that are taken through a block at a time. */
const BATCH_TOKENS = 1024;
/** Logits of one model that are looked at together. */
const LOGITS = 8 * 1024 * 1024;

export interface Figures {
  /** Nats a token. */
  readonly loss: Estimate;
  readonly perplexity: Estimate;
}

export interface Comparison {
  readonly base: Figures;
  /** perplexity ÷ base perplexity − 1, its error from differences within windows. */
  readonly delta: Estimate;
  /** KL(base ‖ model), nats a token. */
  readonly divergence: Estimate;
  /** Share of tokens for which both models find the same token most likely. */
  readonly agreement: Estimate;
}

export interface Measured {
  readonly model: Figures;
  readonly comparison: Comparison | undefined;
}

export interface Step {
  readonly done: number;
  readonly steps: number;
  /** What was done last. */
  readonly name: string;
  /** Of the windows that are finished; undefined before the first. */
  readonly perplexity: Estimate | undefined;
}

export interface MeasureOptions {
  readonly base?: RunnableModel | undefined;
  readonly onStep?: ((step: Step) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws what the engine throws (E_ACTIVATIONS names the first block that gives NaN or infinity). */
export async function measurePerplexity(
  model: RunnableModel,
  plan: WindowPlan,
  options: MeasureOptions = {},
): Promise<Measured> {
  return await new Measurement(model, plan, options).run();
}

/** Windows of one length that go through the model together. */
interface Group {
  readonly windows: readonly Window[];
  readonly length: number;
}

/** Rows of hidden states whose next token is scored. */
interface ScoredRows {
  readonly hidden: Float32Array;
  readonly targets: Int32Array;
}

class Measurement {
  private readonly model: RunnableModel;
  private readonly plan: WindowPlan;
  private readonly options: MeasureOptions;
  private readonly groups: readonly Group[];
  private readonly steps: number;
  private readonly losses = new WindowSums();
  private readonly baseLosses = new WindowSums();
  private readonly divergences = new WindowSums();
  private readonly agreements = new WindowSums();
  private done = 0;
  private finished = 0;

  constructor(model: RunnableModel, plan: WindowPlan, options: MeasureOptions) {
    this.model = model;
    this.plan = plan;
    this.options = options;
    const models = options.base === undefined ? [model] : [model, options.base];
    this.groups = groupWindows(plan, Math.max(...models.map(({ facts }) => facts.hidden)));
    const passes = models.reduce((sum, { facts }) => sum + facts.blocks, 1);
    this.steps = passes * this.groups.reduce((sum, group) => sum + batches(group).length, 0);
  }

  async run(): Promise<Measured> {
    const { base } = this.options;
    for (const group of this.groups) {
      const baseHidden = base && (await asBase(() => this.forward(base, group, "base, ")));
      const hidden = await this.forward(this.model, group, "");
      for (const batch of batches(group)) {
        for (let w = batch.begin; w < batch.end; w++) {
          if (base === undefined) await this.score(group, w, hidden);
          else await this.compare(base, group, w, hidden, baseHidden!);
          this.finished++;
        }
        this.step(`window ${this.finished} of ${this.plan.windows.length}`);
      }
    }
    return { model: figuresOf(this.losses), comparison: this.comparison() };
  }

  private comparison(): Comparison | undefined {
    if (this.options.base === undefined) return undefined;
    const ratio = exponential(this.losses.minus(this.baseLosses).estimate());
    return {
      base: figuresOf(this.baseLosses),
      delta: { mean: ratio.mean - 1, stderr: ratio.stderr },
      divergence: this.divergences.estimate(),
      agreement: this.agreements.estimate(),
    };
  }

  /** The hidden states after the last block, [windows × length, hidden]. */
  private async forward(model: RunnableModel, group: Group, whose: string): Promise<Float32Array> {
    const { blocks, hidden: width } = model.facts;
    const { length } = group;
    const rows = length * width;
    const states = new Float32Array(group.windows.length * rows);
    for (const { begin, end } of batches(group)) {
      const ids = new Int32Array((end - begin) * length);
      for (let w = begin; w < end; w++)
        ids.set(windowIds(this.plan, group.windows[w]!), (w - begin) * length);
      const embedded = await model.embed(ids, length);
      states.set(embedded, begin * rows);
    }
    for (let index = 0; index < blocks; index++) {
      const block = await model.openBlock(index);
      try {
        for (const { begin, end } of batches(group)) {
          this.checkCancelled();
          const part = states.subarray(begin * rows, end * rows);
          const { hidden } = await block.run(part, length);
          part.set(hidden);
          this.step(`${whose}block ${index}`);
        }
      } finally {
        await block.close();
      }
    }
    return states;
  }

  private async score(group: Group, w: number, states: Float32Array): Promise<void> {
    const { hidden, targets } = this.scoredRows(this.model, group, w, states);
    const losses = await this.model.score(hidden, targets);
    let sum = 0;
    for (const loss of losses) sum += loss;
    requireFinite(sum);
    this.losses.add(sum, targets.length);
  }

  private async compare(
    base: RunnableModel,
    group: Group,
    w: number,
    states: Float32Array,
    baseStates: Float32Array,
  ): Promise<void> {
    const ours = this.scoredRows(this.model, group, w, states);
    const theirs = this.scoredRows(base, group, w, baseStates);
    const { vocabulary } = this.model.facts;
    const { targets } = ours;
    const atOnce = Math.max(1, Math.floor(LOGITS / vocabulary));
    const total = { loss: 0, baseLoss: 0, divergence: 0, agreed: 0 };
    for (let from = 0; from < targets.length; from += atOnce) {
      this.checkCancelled();
      const to = Math.min(from + atOnce, targets.length);
      const logits = await this.model.logits(rowsOf(this.model, ours, from, to));
      const baseLogits = await asBase(() => base.logits(rowsOf(base, theirs, from, to)));
      for (let row = 0; row < to - from; row++) {
        const span = [row * vocabulary, (row + 1) * vocabulary] as const;
        const target = targets[from + row]!;
        addRow(total, compareRow(logits.subarray(...span), baseLogits.subarray(...span), target));
      }
    }
    requireFinite(total.loss, total.baseLoss, total.divergence);
    this.losses.add(total.loss, targets.length);
    this.baseLosses.add(total.baseLoss, targets.length);
    this.divergences.add(total.divergence, targets.length);
    this.agreements.add(total.agreed, targets.length);
  }

  private scoredRows(
    { facts }: RunnableModel,
    { windows, length }: Group,
    w: number,
    states: Float32Array,
  ): ScoredRows {
    const { begin, end, scoreFrom } = windows[w]!;
    // the row before a token predicts it
    const first = w * length + scoreFrom - 1;
    return {
      hidden: states.subarray(first * facts.hidden, ((w + 1) * length - 1) * facts.hidden),
      targets: this.plan.ids.slice(begin + scoreFrom, end),
    };
  }

  private step(name: string): void {
    this.done++;
    const perplexity = this.finished === 0 ? undefined : exponential(this.losses.estimate());
    this.options.onStep?.({ done: this.done, steps: this.steps, name, perplexity });
  }

  private checkCancelled(): void {
    this.options.signal?.throwIfAborted();
  }
}

function addRow(
  total: { loss: number; baseLoss: number; divergence: number; agreed: number },
  { loss, baseLoss, divergence, agrees }: Compared,
): void {
  total.loss += loss;
  total.baseLoss += baseLoss;
  total.divergence += divergence;
  if (agrees) total.agreed++;
}

function rowsOf(
  { facts }: RunnableModel,
  { hidden }: ScoredRows,
  from: number,
  to: number,
): Float32Array {
  return hidden.subarray(from * facts.hidden, to * facts.hidden);
}

function groupWindows({ windows }: WindowPlan, hidden: number): Group[] {
  const most = Math.min(GROUP_TOKENS, GROUP_BYTES / (4 * hidden));
  const groups: { windows: Window[]; length: number }[] = [];
  for (const window of windows) {
    const length = window.end - window.begin;
    const last = groups.at(-1);
    const fits = last?.length === length && (last.windows.length + 1) * length <= most;
    if (fits) last.windows.push(window);
    else groups.push({ windows: [window], length });
  }
  return groups;
}

/** Runs of windows of a group, begin..end. */
function batches({ windows, length }: Group): { begin: number; end: number }[] {
  const size = Math.max(1, Math.floor(BATCH_TOKENS / length));
  return Array.from({ length: Math.ceil(windows.length / size) }, (_, i) => ({
    begin: i * size,
    end: Math.min((i + 1) * size, windows.length),
  }));
}

function figuresOf(losses: WindowSums): Figures {
  const loss = losses.estimate();
  const perplexity = exponential(loss);
  if (!Number.isFinite(perplexity.mean)) {
    throw new SpInferError(
      "E_ACTIVATIONS",
      `the perplexity is too large to be a number: the mean loss is ${loss.mean.toPrecision(4)} nats`,
      { hint: HINT },
    );
  }
  return { loss, perplexity };
}

const HINT =
  "look for NaN, infinity and odd values among the weights: spinfer inspect MODEL --stats";

/** Hidden states and logits are the engine's to check; what is made of them is checked here. */
function requireFinite(...sums: readonly number[]): void {
  const bad = sums.find((sum) => !Number.isFinite(sum));
  if (bad === undefined) return;
  throw new SpInferError("E_ACTIVATIONS", `the losses of a window add up to ${bad}`, {
    hint: HINT,
  });
}

/** Says that it happened to the model that the other is compared with. */
async function asBase<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof SpInferError) || thrown.code === "E_CANCELLED") throw thrown;
    throw new SpInferError(thrown.code, `--base: ${thrown.message}`, {
      ...thrown.detail,
      cause: thrown,
    });
  }
}
