/** help: a command, or the page of an error code. */
import { ERROR_CODES, isErrorCode } from "../../core/errorCodes.ts";
import { SpInferError } from "../../core/errors.ts";
import { nearest, printable } from "../../core/text.ts";
import { readPackageFile } from "../../io/packageFile.ts";
import { COMMAND_WORDS } from "../commandLine/commands.ts";
import { mainHelp, wordHelp } from "../commandLine/usage.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";

export async function help({ arguments: given, width }: Invocation): Promise<Outcome> {
  const topic = given.text("topic");
  if (topic === undefined) return textOutcome({ topic: null, text: mainHelp(width) });
  const code = topic.toUpperCase();
  if (isErrorCode(code)) {
    const { exit, summary } = ERROR_CODES[code];
    const text = new TextDecoder().decode(readPackageFile(`docs/errors/${code}.md`));
    return textOutcome({ topic: code, code, exit, summary, text });
  }
  const text = wordHelp(topic, width);
  if (text === "") throw unknownTopic(topic);
  return textOutcome({ topic, text });
}

function textOutcome(result: {
  readonly topic: string | null;
  readonly text: string;
  readonly code?: string;
  readonly exit?: number;
  readonly summary?: string;
}): Outcome {
  const { text } = result;
  return { result, document: () => [{ kind: "text", text }], quiet: text.trimEnd() };
}

function unknownTopic(topic: string): SpInferError {
  const codes = Object.keys(ERROR_CODES);
  const close = nearest(topic, [...COMMAND_WORDS, ...codes]);
  return new SpInferError("E_USAGE", `there is no help on "${printable(topic, 80)}"`, {
    expected: "a command, or an error code such as E_ST_TRUNCATED",
    hint: close === undefined ? "see spinfer --help" : `did you mean ${close}?`,
  });
}
