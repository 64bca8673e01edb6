/** Evaluation of a model on a text: perplexity, beside another model where one is named, and gates. */
import { SpInferError } from "../core/errors.ts";
import { formatEstimate } from "../core/figures.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { VERSION } from "../core/version.ts";
import type { ModelFacts, RunnableModel } from "../engine/engine.ts";
import { checkGates, type Gate, type GateMetric, judge } from "../eval/gates.ts";
import { type Comparison, type Measured, measurePerplexity } from "../eval/perplexity.ts";
import {
  EVAL_SCHEMA,
  type EvalReport,
  type ModelRecord,
  readEvalReport,
  requireComparable,
} from "../eval/report.ts";
import { openTextSet, type TextSet } from "../eval/textSet.ts";
import { openAndTokenise, type TokeniseOptions, tokenise } from "../eval/tokenise.ts";
import type { Tokenizer, TokenizerBytes } from "../eval/tokenizer.ts";
import { checkIds, checkVocabulary } from "../eval/vocabulary.ts";
import { planWindows, tokensRead, type WindowOptions, type WindowPlan } from "../eval/windows.ts";
import { packagePath } from "../io/packageFile.ts";
import { readSmallFile } from "../io/smallFile.ts";
import { type OnEvent, Progress } from "./events.ts";
import { modelRecord } from "./modelRecord.ts";
import { bytesNamed, modelTokenizer, tokenizerBytes } from "./modelTokenizer.ts";
import {
  checkStamps,
  type OpenedModel,
  type OpenModelOptions,
  openModel,
  stampSources,
} from "./openModel.ts";
import { type RunModelOptions, runModel } from "./runModel.ts";
import { createPool, type Pool } from "./work/pool.ts";

/** Reports are a few kilobytes; a large file is something else. */
const LARGEST_REPORT = 64 * 1024 * 1024;
const EMBEDDED_MODEL = "models/demo";
const EMBEDDED_TEXT = "models/demo/heldout.txt";

export interface EvaluateOptions extends OpenModelOptions, WindowOptions, RunModelOptions {
  /** A file, a .jsonl file or a folder; absent: the embedded model's text, for that model alone. */
  readonly dataset?: string | undefined;
  /** The field of each JSON line. */
  readonly field?: string | undefined;
  /** A tokenizer.json or its folder; absent: the model's own. */
  readonly tokenizer?: string | undefined;
  /** A model to run beside it, on the same windows. */
  readonly base?: string | undefined;
  /** A report to compare with, instead of running a base. */
  readonly compare?: string | undefined;
  readonly gates?: readonly Gate[] | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How a model is made ready to run; absent: by the engines of this package. */
  readonly open?: typeof runModel | undefined;
}

/**
 * Throws what opening, tokenising and running throw; E_EVAL_COMPARE before anything is run. A gate
 * that is missed is a report that is not ok.
 */
export async function evaluateModel(
  argument: string,
  options: EvaluateOptions,
): Promise<EvalReport> {
  const { base, compare, gates = [] } = options;
  if (base !== undefined && compare !== undefined) {
    throw new SpInferError("E_USAGE", "--base and --compare both name what to compare with", {
      hint: "give one of them",
    });
  }
  checkGates(gates, againstWhat(options));
  const evaluation = new Evaluation(options);
  try {
    return await evaluation.run(argument);
  } finally {
    await evaluation.close();
  }
}

function againstWhat({ base, compare }: EvaluateOptions): "nothing" | "report" | "model" {
  if (base !== undefined) return "model";
  return compare === undefined ? "nothing" : "report";
}

/** A model, opened and made ready to run, with what is said of it. */
interface Contestant {
  readonly opened: OpenedModel;
  readonly runnable: RunnableModel;
  readonly record: Promise<ModelRecord>;
  /** Throws E_SOURCE_CHANGED when its files are not what they were. */
  readonly check: () => void;
}

/** Everything that is known before a model runs. */
interface Prepared {
  readonly text: TextSet;
  readonly tokenizer: Tokenizer;
  readonly plan: WindowPlan;
  readonly earlier: EvalReport | undefined;
}

class Evaluation {
  private readonly options: EvaluateOptions;
  private readonly pool: Pool;
  private readonly onEvent: OnEvent;
  private readonly running: RunnableModel[] = [];

  constructor(options: EvaluateOptions) {
    this.options = options;
    this.pool = createPool(1, { signal: options.signal });
    this.onEvent = options.onEvent ?? (() => undefined);
  }

  async run(argument: string): Promise<EvalReport> {
    const begun = performance.now();
    const { base, gates = [] } = this.options;
    const model = await this.enter(argument);
    const prepared = await this.prepare(model);
    const rival = base === undefined ? undefined : await this.enterBase(base, model, prepared);
    const measured = await this.measure(model.runnable, rival?.runnable, prepared.plan);
    const compared = await this.compared(measured, rival, prepared);
    for (const { check } of rival === undefined ? [model] : [model, rival]) check();
    const { loss, perplexity } = measured.model;
    const results = judge(gates, figuresFor(perplexity.mean, compared));
    return {
      schema: EVAL_SCHEMA,
      created_by: { name: "spinfer", version: VERSION },
      evaluated: new Date().toISOString(),
      ok: results.every(({ passed }) => passed),
      model: await model.record,
      ...this.protocol(prepared),
      loss: loss.mean,
      perplexity: perplexity.mean,
      stderr: perplexity.stderr ?? null,
      base: compared,
      gates: results.map(({ gate, value, passed }) => ({
        gate: gate.text,
        value,
        bound: gate.bound,
        passed,
      })),
      engine: model.runnable.engine,
      instructions: model.runnable.instructions ?? null,
      elapsed_ms: Math.round(performance.now() - begun),
    };
  }

  async close(): Promise<void> {
    await this.pool.close();
    for (const model of this.running) await model.close();
  }

  private async enter(argument: string): Promise<Contestant> {
    const { options } = this;
    const opened = await openModel(argument, options);
    for (const message of opened.archive.warnings) this.warn("W_MODEL", message);
    const runnable = await (options.open ?? runModel)(opened, options, (message) =>
      this.warn("W_ENGINE", message),
    );
    this.running.push(runnable);
    const stamps = stampSources(opened);
    const record = modelRecord(opened, runnable.facts.family, this.pool, this.onEvent);
    record.catch(() => undefined); // awaited when the rest is done
    return { opened, runnable, record, check: () => checkStamps(opened, stamps) };
  }

  private async prepare({ opened, runnable }: Contestant): Promise<Prepared> {
    const { options } = this;
    const source = await tokenizerBytes(opened, options);
    const text = await this.textFor(source);
    const { positions } = runnable.facts;
    const { tokenizer, ids } = await openAndTokenise(source, text.text, this.tokenising(positions));
    const warning = checkVocabulary(tokenizer, runnable.facts.vocabulary);
    if (warning !== undefined) this.warn("W_TOKENIZER", warning);
    const { prefix, suffix, bos } = tokenizer;
    const plan = planWindows({ ids, prefix, suffix, bos }, options, positions);
    checkIds(plan.ids, tokenizer, runnable.facts.vocabulary);
    const { compare } = options;
    if (compare === undefined) return { text, tokenizer, plan, earlier: undefined };
    const earlier = readEvalReport(await readSmallFile(compare, LARGEST_REPORT), compare);
    const prepared = { text, tokenizer, plan, earlier };
    requireComparable(this.protocol(prepared), earlier, compare);
    return prepared;
  }

  /** Of the text's own tokens those are made that windows can be of. */
  private tokenising(positions: number): TokeniseOptions {
    const { signal, limits = DEFAULT_LIMITS } = this.options;
    return { seconds: limits.tokenizerSeconds, signal, most: tokensRead(this.options, positions) };
  }

  private async textFor({ tokenizer }: TokenizerBytes): Promise<TextSet> {
    const { dataset, field, limits = DEFAULT_LIMITS } = this.options;
    const limitBytes = limits.textBytes;
    if (dataset !== undefined) return await openTextSet(dataset, { field, limitBytes });
    const own = await bytesNamed(packagePath(EMBEDDED_MODEL), {});
    if (Buffer.compare(own.tokenizer, tokenizer) !== 0) {
      throw new SpInferError("E_USAGE", "eval needs a text to evaluate the model on", {
        expected: "--dataset FILE, FILE.jsonl or FOLDER",
        hint: "the text that comes with SpInfer is for the embedded model and what is made of it",
      });
    }
    const text = await openTextSet(packagePath(EMBEDDED_TEXT), { limitBytes });
    const files = text.files.map((file) => ({ ...file, path: EMBEDDED_TEXT }));
    return { ...text, path: EMBEDDED_TEXT, files };
  }

  /** Both must tokenise the text alike and have outputs of one size. */
  private async enterBase(
    argument: string,
    { runnable }: Contestant,
    { text, tokenizer, plan }: Prepared,
  ): Promise<Contestant> {
    const rival = await this.enter(argument);
    requireSameOutputs(runnable.facts, rival.runnable.facts);
    const { positions } = rival.runnable.facts;
    if (plan.ctx > positions) {
      throw new SpInferError("E_OPTION", `--base: that model reads at most ${positions} tokens`, {
        hint: `write --ctx ${positions}`,
      });
    }
    const hasOwn = rival.opened.archive.sideFiles.some(({ name }) => name === "tokenizer.json");
    if (this.options.tokenizer !== undefined || !hasOwn) return rival;
    const other = await modelTokenizer(rival.opened, this.options);
    if (other.sha256 === tokenizer.sha256) return rival;
    const made = this.tokenising(runnable.facts.positions);
    const ours = await tokenise(tokenizer, text.text, made);
    const theirs = await tokenise(other, text.text, made);
    if (ours.length === theirs.length && ours.every((id, i) => id === theirs[i])) return rival;
    throw new SpInferError("E_EVAL_COMPARE", "--base: its tokenizer gives the text other tokens", {
      path: other.path,
      hint: "compare a pruned model with the model that it was made from",
    });
  }

  private async measure(
    model: RunnableModel,
    base: RunnableModel | undefined,
    plan: WindowPlan,
  ): Promise<Measured> {
    let progress: Progress | undefined;
    const measured = await measurePerplexity(model, plan, {
      base,
      signal: this.options.signal,
      onStep: ({ name, steps, perplexity }) => {
        progress ??= new Progress(this.onEvent, "evaluate", steps, 0);
        const note = perplexity === undefined ? undefined : `ppl ${formatEstimate(perplexity)}`;
        progress.item(name, 0, false, note);
      },
    });
    progress?.end();
    return measured;
  }

  private async compared(
    { model, comparison }: Measured,
    rival: Contestant | undefined,
    { earlier }: Prepared,
  ): Promise<EvalReport["base"]> {
    if (rival !== undefined) return besideModel(comparison!, await rival.record);
    return earlier === undefined ? null : besideReport(model.perplexity.mean, earlier);
  }

  /** The part of the report that must be the same for two to be compared. */
  private protocol({ text, tokenizer, plan }: Prepared) {
    const { protocol, ctx, stride, bos, bosId, ids, windows, scored } = plan;
    const { path, kind, field, files, documents, sha256 } = text;
    return {
      protocol,
      ctx,
      stride,
      bos,
      bos_id: bosId ?? null,
      max_windows: this.options.maxWindows ?? null,
      dataset: { path, kind, field: field ?? null, files: [...files], documents, sha256 },
      tokenizer: { sha256: tokenizer.sha256, settings_sha256: tokenizer.settingsSha256 ?? null },
      tokens: ids.length,
      windows: windows.length,
      scored,
    };
  }

  private warn(code: string, message: string): void {
    this.onEvent({ type: "warning", code, message });
  }
}

function requireSameOutputs(ours: ModelFacts, theirs: ModelFacts): void {
  if (ours.vocabulary === theirs.vocabulary) return;
  throw new SpInferError("E_VOCABULARY", "--base: its output has another size", {
    found: `${theirs.vocabulary} tokens, and ${ours.vocabulary} of the model`,
    hint: "compare a pruned model with the model that it was made from",
  });
}

function besideModel(comparison: Comparison, model: ModelRecord): NonNullable<EvalReport["base"]> {
  const { base, delta, divergence, agreement } = comparison;
  return {
    source: "model",
    model,
    loss: base.loss.mean,
    perplexity: base.perplexity.mean,
    stderr: base.perplexity.stderr ?? null,
    delta: delta.mean,
    delta_stderr: delta.stderr ?? null,
    kl: divergence.mean,
    kl_stderr: divergence.stderr ?? null,
    agreement: agreement.mean,
    agreement_stderr: agreement.stderr ?? null,
  };
}

function besideReport(perplexity: number, earlier: EvalReport): NonNullable<EvalReport["base"]> {
  return {
    source: "report",
    model: earlier.model,
    loss: earlier.loss,
    perplexity: earlier.perplexity,
    stderr: earlier.stderr,
    delta: perplexity / earlier.perplexity - 1,
    delta_stderr: null,
    kl: null,
    kl_stderr: null,
    agreement: null,
    agreement_stderr: null,
  };
}

function figuresFor(
  perplexity: number,
  compared: EvalReport["base"],
): Partial<Record<GateMetric, number>> {
  if (compared === null) return { ppl: perplexity };
  const { delta, kl, agreement } = compared;
  return {
    ppl: perplexity,
    delta,
    ...(kl === null ? {} : { kl }),
    ...(agreement === null ? {} : { agreement }),
  };
}
