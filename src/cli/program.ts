/** Runs one command line: parse, do, print. The exit code comes back; nothing is thrown. */
import { type ErrorRecord, SpInferError, toSpInferError } from "../core/errors.ts";
import { parseLimits } from "../core/limits.ts";
import { printable } from "../core/text.ts";
import { VERSION } from "../core/version.ts";
import type { PipelineEvent } from "../pipeline/events.ts";
import type { Arguments } from "./commandLine/arguments.ts";
import type { ProgressMode } from "./commandLine/options.ts";
import { type CommandLine, parseCommandLine } from "./commandLine/parse.ts";
import type { CommandSpec, OutputFormat } from "./commandLine/spec.ts";
import { commandHelp, mainHelp, wordHelp } from "./commandLine/usage.ts";
import { loadCommand } from "./commands/index.ts";
import type { Host } from "./host.ts";
import type { Invocation, Warning } from "./invocation.ts";
import type { Outcome } from "./outcome.ts";
import { csv, jsonLines, jsonText } from "./output/data.ts";
import { errorText } from "./output/errorText.ts";
import { humanText } from "./output/humanText.ts";
import { markdown } from "./output/markdown.ts";
import { wantsColour } from "./output/style.ts";
import { createReporter } from "./progress/createReporter.ts";
import type { Reporter } from "./progress/reporter.ts";

const LONGEST_LINE = 2000;
const MOST_THREADS = 1024;
/** A cancelled run has so long to put its things in order. */
const CANCEL_MS = 1200;

export interface Cancellation {
  readonly signal: AbortSignal;
  /** Called with how to go on after the command was cancelled, where it can. */
  goesOn?(how: string | undefined): void;
}

export async function runProgram(
  words: readonly string[],
  host: Host,
  cancellation: Cancellation,
): Promise<number> {
  const begun = performance.now();
  try {
    const line = parseCommandLine(words);
    const help = helpText(line, host);
    if (help !== undefined) {
      host.stdout.write(help);
      return 0;
    }
    const command = line.command!;
    const format = outputFormat(line.arguments, command);
    cancellation.goesOn?.(goingOn(command));
    const warnings: Warning[] = [];
    const outcome = await perform(command, line.arguments, {
      host,
      signal: cancellation.signal,
      warnings,
      colour: errorColour(words, host),
    });
    const elapsedMs = performance.now() - begun;
    host.stdout.write(
      rendered(outcome, { host, format, command, warnings, elapsedMs, arguments: line.arguments }),
    );
    if (outcome.failure === undefined) return 0;
    if (format === "json" || format === "jsonl") printRecord(outcome.failure.first, host);
    return outcome.failure.exit;
  } catch (thrown) {
    return reportError(thrown, words, host);
  }
}

/** What to do after a command was stopped. A sweep looks at its own record and needs no flag. */
function goingOn({ name, options }: CommandSpec): string | undefined {
  if (options.some((option) => option.name === "resume")) {
    return "go on with the same command and --resume";
  }
  return name === "sweep" ? "go on with the same command" : undefined;
}

/** Shows what was thrown as the command line asks for, and returns the exit code. */
export function reportError(thrown: unknown, words: readonly string[], host: Host): number {
  const error = explained(toSpInferError(thrown));
  const debug = words.includes("--debug") || (host.env["SPINFER_DEBUG"] ?? "") !== "";
  if (debug) host.stderr.write(`${stackOf(error)}\n`);
  if (["json", "jsonl"].includes(readFormat(words) ?? "")) printRecord(error.toRecord(), host);
  else host.stderr.write(errorText(error.toRecord(), errorColour(words, host)));
  return error.exit;
}

function errorColour(words: readonly string[], host: Host): boolean {
  return wantsColour(host.stderr.isTty, host.env, !words.includes("--no-color"));
}

/** Which form was asked for, before it is known whether the command line makes sense. */
function readFormat(words: readonly string[]): string | undefined {
  const own = words.includes("--") ? words.slice(0, words.indexOf("--")) : words;
  if (own.includes("--json")) return "json";
  const joined = own.find((word) => word.startsWith("--format="));
  return joined?.slice("--format=".length) ?? own[own.indexOf("--format") + 1 || own.length];
}

function helpText(
  { command, word, arguments: given }: CommandLine,
  host: Host,
): string | undefined {
  const width = Math.min(100, host.stdout.columns);
  if (word !== undefined) return wordHelp(word, width);
  if (given.flag("help")) {
    return command === undefined ? mainHelp(width) : commandHelp(command, width);
  }
  if (given.flag("version")) return `${VERSION}\n`;
  return command === undefined ? mainHelp(width) : undefined;
}

function outputFormat(given: Arguments, command: CommandSpec): OutputFormat {
  const named = given.flag("json") ? "json" : (given.text("format") as OutputFormat | undefined);
  if ((named === "csv" || named === "jsonl") && !command.table) {
    throw new SpInferError("E_USAGE", `--format ${named}: ${command.name} has no table to print`, {
      expected: "auto, human, md, json, quiet",
    });
  }
  if (named !== undefined && named !== "auto") return named;
  return given.flag("quiet") ? "quiet" : "human";
}

interface Circumstances {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly warnings: Warning[];
  readonly colour: boolean;
}

async function perform(
  command: CommandSpec,
  given: Arguments,
  { host, signal, warnings, colour }: Circumstances,
): Promise<Outcome> {
  const threads = given.count("threads", 1, MOST_THREADS);
  const limits = parseLimits(given.list("limit") ?? []);
  const reporter = await createReporter(host, {
    mode: (given.text("progress") ?? "auto") as ProgressMode,
    quiet: given.flag("quiet") || given.text("format") === "quiet",
    colour,
    now: () => performance.now(),
  });
  const said = new Set<string>();
  const warn = (warning: Warning): void => {
    if (said.has(warning.message)) return;
    said.add(warning.message);
    warnings.push(warning);
    reporter.warn(warning);
  };
  const invocation: Invocation = {
    arguments: given,
    work: {
      ...(threads === undefined ? {} : { threads }),
      limits,
      followSymlinks: given.flag("follow-symlinks"),
    },
    signal,
    onEvent: (event) => take(event, warn, reporter),
    warn,
    env: host.env,
    width: Math.min(100, host.stdout.columns),
  };
  try {
    const run = await loadCommand(command.name);
    return await Promise.race([run(invocation), cancelled(signal)]);
  } finally {
    reporter.close();
  }
}

function take(event: PipelineEvent, warn: (warning: Warning) => void, reporter: Reporter): void {
  if (event.type === "warning") warn({ code: event.code, message: event.message });
  else reporter.report(event);
}

/** Rejects some time after the signal, so that a command that does not listen ends too. */
function cancelled(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => {
      setTimeout(() => reject(signal.reason), CANCEL_MS);
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

interface Printing {
  readonly host: Host;
  readonly format: OutputFormat;
  readonly command: CommandSpec;
  readonly warnings: readonly Warning[];
  readonly elapsedMs: number;
  readonly arguments: Arguments;
}

function rendered(outcome: Outcome, printing: Printing): string {
  const { host, format, command, warnings, elapsedMs, arguments: given } = printing;
  switch (format) {
    case "json": {
      const envelope = {
        schema: "spinfer.result/1",
        command: command.name,
        ok: outcome.failure === undefined,
        version: VERSION,
        elapsed_ms: Math.round(elapsedMs),
        warnings,
        result: outcome.result,
      };
      return `${jsonText(envelope, host.stdout.isTty ? 2 : 0)}\n`;
    }
    case "jsonl":
      return jsonLines(outcome.table!(), command.name);
    case "csv":
      return csv(outcome.table!());
    case "quiet":
      return outcome.quiet === undefined ? "" : `${outcome.quiet}\n`;
    case "md":
      return markdown(outcome.document());
    default: {
      const colour = wantsColour(host.stdout.isTty, host.env, !given.flag("no-color"));
      return humanText(outcome.document(), colour);
    }
  }
}

function printRecord(record: ErrorRecord, host: Host): void {
  host.stderr.write(`${jsonText(record, 0)}\n`);
}

/** A bug is ours: says what to do with it. */
function explained(error: SpInferError): SpInferError {
  if (error.code !== "E_INTERNAL") return error;
  return error.with({
    hint: "please report it, with the output of `spinfer doctor --json` and of this command with --debug",
  });
}

function stackOf(error: SpInferError): string {
  const stacks: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    stacks.push(at.stack ?? String(at));
  const lines = stacks.join("\ncaused by: ").split("\n");
  return lines.map((line) => printable(line, LONGEST_LINE)).join("\n");
}
