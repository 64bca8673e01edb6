/** Runs a command line in this process, with streams that remember what was written. */
import type { Host } from "../../src/cli/host.ts";
import { runProgram } from "../../src/cli/program.ts";

export interface FakeOptions {
  readonly tty?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Written {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function fakeHost({ tty = false, env = {} }: FakeOptions = {}): {
  readonly host: Host;
  readonly written: { stdout: string; stderr: string };
} {
  const written = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr") => ({
    isTty: tty,
    columns: 100,
    write(text: string): void {
      written[name] += text;
    },
  });
  return { host: { stdout: stream("stdout"), stderr: stream("stderr"), env }, written };
}

export async function runInProcess(
  words: readonly string[],
  options: FakeOptions = {},
): Promise<Written> {
  const { host, written } = fakeHost(options);
  const signal = options.signal ?? new AbortController().signal;
  const exit = await runProgram(words, host, { signal });
  return { exit, ...written };
}
