/** Runs the built command line as its users do, in a process of its own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder with `src/cli/main.js`: dist, or what SPINFER_TEST_DIST names. */
export const DIST =
  process.env["SPINFER_TEST_DIST"] ?? fileURLToPath(new URL("../../dist", import.meta.url));

const MAIN = join(DIST, "src/cli/main.js");

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the program: ["strace", "-f", …]. */
  readonly under?: readonly string[];
  /** Arguments of node itself. */
  readonly node?: readonly string[];
  readonly timeoutMs?: number;
}

export interface CliResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function cli(args: readonly string[], options: CliOptions = {}): CliResult {
  const [program, ...rest] = commandOf(args, options);
  const { status, signal, stdout, stderr, error } = spawnSync(program!, rest, {
    cwd: options.cwd,
    env: environmentOf(options),
    encoding: "utf8",
    timeout: options.timeoutMs ?? 120_000,
    maxBuffer: 256 * 1024 * 1024,
  });
  if (error !== undefined) throw error;
  return { status, signal, stdout, stderr };
}

/** Runs a command that must succeed, and returns its `result` as JSON. */
export function cliJson(
  args: readonly string[],
  options: CliOptions = {},
): Record<string, unknown> {
  const { status, stdout, stderr } = cli([...args, "--json"], options);
  if (status !== 0) throw new Error(`spinfer ${args.join(" ")} ended with ${status}: ${stderr}`);
  return JSON.parse(stdout).result;
}

/** The error record that a command that must fail ends with. */
export function cliError(
  args: readonly string[],
  options: CliOptions = {},
): {
  status: number | null;
  code: string;
  message: string;
  path: string | null;
  hint: string | null;
} {
  const { status, stderr, stdout } = cli([...args, "--json"], options);
  if (status === 0) throw new Error(`spinfer ${args.join(" ")} went well: ${stdout}`);
  const line = stderr
    .split("\n")
    .findLast((text) => text.startsWith('{"schema":"spinfer.error/1"'));
  if (line === undefined) throw new Error(`no error record, status ${status}: ${stderr}`);
  return { status, ...JSON.parse(line) };
}

/** Starts a command without waiting for it; what it says on stderr is for who listens. */
export function startCli(args: readonly string[], options: CliOptions = {}): ChildProcess {
  const [program, ...rest] = commandOf(args, options);
  const child = spawn(program!, rest, {
    cwd: options.cwd,
    env: environmentOf(options),
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr.resume(); // a full pipe would stop it
  return child;
}

export function exitOf(
  child: ChildProcess,
): Promise<{ status: number | null; signal: string | null }> {
  return new Promise((resolve) => {
    child.on("exit", (status, signal) => resolve({ status, signal }));
  });
}

function commandOf(args: readonly string[], { under = [], node = [] }: CliOptions): string[] {
  return [...under, process.execPath, ...node, MAIN, ...args];
}

function environmentOf({ env }: CliOptions): NodeJS.ProcessEnv {
  return { ...process.env, NO_COLOR: "1", ...env };
}

/** Whether a program is in the PATH and works here, tried with these arguments. */
export function works(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

/** Why a test cannot run here, printed once; undefined when it can. */
export function skipUnless(condition: boolean, reason: string): boolean {
  if (!condition) process.stderr.write(`skipped: ${reason}\n`);
  return !condition;
}
