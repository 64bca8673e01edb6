#!/usr/bin/env node
/** The program: hands the command line over, listens for signals, sets the exit code. */
import { SpInferError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { processHost } from "./host.ts";

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const words = process.argv.slice(2);
const host = processHost();

if (words.length === 1 && ["version", "--version", "-V"].includes(words[0]!)) {
  host.stdout.write(`${VERSION}\n`); // without loading anything else
} else {
  const { reportError, runProgram } = await import("./program.ts");
  // what happens outside of the run, in a callback of Node, is a bug of ours
  process.on("uncaughtException", (thrown) => process.exit(reportError(thrown, words, host)));
  const { signal, state } = listen();
  process.exitCode = await runProgram(words, host, {
    signal,
    goesOn: (how) => {
      state.goesOn = how;
    },
  });
  // what does not listen to the signal may still be at work
  if (signal.aborted) process.exit();
}

/** The first signal cancels, the second ends at once. */
function listen(): { signal: AbortSignal; state: { goesOn: string | undefined } } {
  const controller = new AbortController();
  const state: { goesOn: string | undefined } = { goesOn: undefined };
  for (const [name, exit] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exit);
      controller.abort(
        new SpInferError("E_CANCELLED", `stopped by ${name}`, {
          exit,
          hint: state.goesOn,
        }),
      );
    });
  }
  return { signal: controller.signal, state };
}
