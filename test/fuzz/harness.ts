/**
 * Runs a parser on many generated inputs and holds it to what all our parsers promise: typed
 * errors only, every code of the list reached and no other, no input over a second, memory that
 * does not grow, and enough inputs that get past the header.
 *
 * Every input has a seed of its own, so a failure names what replays it. SPINFER_FUZZ=N runs N
 * times as many inputs.
 */
import type { ErrorCode } from "../../src/core/errorCodes.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { createRandom, type Random } from "../helpers/random.ts";

export type FuzzInput = Uint8Array | string;

export interface FuzzOptions<Input extends FuzzInput> {
  readonly name: string;
  /** Inputs of one ordinary run. */
  readonly count: number;
  /** Another stream of inputs. */
  readonly seed?: number;
  readonly generate: (random: Random) => Input;
  /** Parses or throws a SpInferError. */
  readonly parse: (input: Input) => unknown;
  /** The codes that the parser can end with: all are reached, no other is. */
  readonly codes: readonly ErrorCode[];
  /** Those of `codes` that mean that an input did not get past the header. */
  readonly headerCodes: readonly ErrorCode[];
  /** Least share of inputs that get past the header. Default 0.3. */
  readonly minPast?: number;
  /** Greatest growth of the process's resident memory, after a warm-up. Default 128 MiB. */
  readonly maxGrowthBytes?: number;
}

export interface FuzzReport {
  readonly count: number;
  readonly accepted: number;
  /** Share of inputs accepted or rejected for something behind the header. */
  readonly past: number;
  readonly byCode: ReadonlyMap<ErrorCode, number>;
  readonly inputsPerSecond: number;
  readonly slowestMs: number;
  readonly growthBytes: number;
}

const SLOWEST_MS = 1000;
const SEED_STRIDE = 2 ** 32;
const FAILURE_STACK = 30;

/** Throws an Error that says what was not kept and how to replay it. */
export function fuzz<Input extends FuzzInput>(options: FuzzOptions<Input>): FuzzReport {
  const count = options.count * fuzzFactor();
  const byCode = new Map<ErrorCode, number>();
  let accepted = 0;
  let slowestMs = 0;
  let rssAfterWarmUp = 0;
  const warmUp = Math.floor(count / 10);
  const start = performance.now();
  withoutStacks(() => {
    for (let index = 0; index < count; index++) {
      if (index === warmUp) rssAfterWarmUp = process.memoryUsage.rss();
      const input = options.generate(createRandom((options.seed ?? 0) * SEED_STRIDE + index));
      const began = performance.now();
      const code = outcome(options, input, index);
      const elapsedMs = performance.now() - began;
      if (elapsedMs > slowestMs) slowestMs = checkedTime(options, input, index, elapsedMs);
      if (code === undefined) accepted++;
      else byCode.set(code, (byCode.get(code) ?? 0) + 1);
    }
  });
  const report: FuzzReport = {
    count,
    accepted,
    past: 1 - options.headerCodes.reduce((sum, code) => sum + (byCode.get(code) ?? 0), 0) / count,
    byCode,
    inputsPerSecond: Math.round(count / ((performance.now() - start) / 1000)),
    slowestMs,
    growthBytes: process.memoryUsage.rss() - rssAfterWarmUp,
  };
  checkReport(options, report);
  return report;
}

/** A line for the log of a run. */
export function fuzzSummary(name: string, report: FuzzReport): string {
  const share = (part: number) => `${(100 * part).toFixed(1)} %`;
  const codes = [...report.byCode].sort(([, a], [, b]) => b - a).map(([code, n]) => `${code} ${n}`);
  return [
    `fuzz ${name}: ${report.count} inputs, ${report.inputsPerSecond} a second`,
    `${share(report.past)} past the header, ${share(report.accepted / report.count)} accepted`,
    `slowest ${report.slowestMs.toFixed(0)} ms, memory +${(report.growthBytes / 2 ** 20).toFixed(0)} MiB`,
    codes.join(" "),
  ].join("; ");
}

/** Stack traces would be most of the time of a rejection; what fails here is run again with one. */
function withoutStacks(run: () => void): void {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    run();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** How many times the ordinary count is asked for (SPINFER_FUZZ). */
export function fuzzFactor(): number {
  const asked = Number(process.env["SPINFER_FUZZ"] ?? "1");
  if (!Number.isSafeInteger(asked) || asked < 1) {
    throw new Error("SPINFER_FUZZ is a whole number from 1: how many times as many inputs to run");
  }
  return asked;
}

function outcome<Input extends FuzzInput>(
  options: FuzzOptions<Input>,
  input: Input,
  index: number,
): ErrorCode | undefined {
  try {
    options.parse(input);
    return undefined;
  } catch (thrown) {
    if (thrown instanceof SpInferError && options.codes.includes(thrown.code)) return thrown.code;
    const what =
      thrown instanceof SpInferError
        ? `unexpected code ${thrown.code}`
        : `an untyped error: ${String(thrown)}`;
    Error.stackTraceLimit = FAILURE_STACK;
    throw new Error(`${replay(options, input, index)}: ${what}`, { cause: again(options, input) });
  }
}

function again<Input extends FuzzInput>(options: FuzzOptions<Input>, input: Input): unknown {
  try {
    return options.parse(input);
  } catch (thrown) {
    return thrown;
  }
}

/** The time of a slow input. A busy machine can stall once; a slow parser is slow every time. */
function checkedTime<Input extends FuzzInput>(
  options: FuzzOptions<Input>,
  input: Input,
  index: number,
  elapsedMs: number,
): number {
  let least = elapsedMs;
  for (let attempt = 0; attempt < 3 && least > SLOWEST_MS; attempt++) {
    const began = performance.now();
    outcome(options, input, index);
    least = Math.min(least, performance.now() - began);
  }
  if (least > SLOWEST_MS) {
    throw new Error(`${replay(options, input, index)}: took ${Math.round(least)} ms`);
  }
  return least;
}

function checkReport<Input extends FuzzInput>(
  options: FuzzOptions<Input>,
  { byCode, past, growthBytes }: FuzzReport,
): void {
  const missed = options.codes.filter((code) => !byCode.has(code));
  if (missed.length > 0) throw new Error(`${options.name}: never reached ${missed.join(", ")}`);
  const minPast = options.minPast ?? 0.3;
  if (past < minPast) {
    throw new Error(`${options.name}: ${past} of the inputs got past the header, not ${minPast}`);
  }
  const maxGrowth = options.maxGrowthBytes ?? 128 * 1024 * 1024;
  if (growthBytes > maxGrowth) {
    throw new Error(`${options.name}: memory grew by ${growthBytes} bytes, over ${maxGrowth}`);
  }
}

function replay<Input extends FuzzInput>(
  options: FuzzOptions<Input>,
  input: Input,
  index: number,
): string {
  const shown =
    typeof input === "string" ? JSON.stringify(input) : Buffer.from(input).toString("base64");
  return `${options.name}, seed ${options.seed ?? 0}, input ${index} (${shown.slice(0, 4000)})`;
}
