/** What is wrong with a command line: one sentence, and the nearest thing that is accepted. */
import { SpInferError } from "../../core/errors.ts";
import { nearest, printable } from "../../core/text.ts";
import type { ArgumentValue } from "./arguments.ts";
import { COMMAND_WORDS, COMMANDS } from "./commands.ts";
import type { CommandSpec, OptionSpec, PositionalSpec } from "./spec.ts";
import { usageLine } from "./usage.ts";

export function unknownOption(
  word: string,
  command: CommandSpec | undefined,
  options: readonly OptionSpec[],
): SpInferError {
  const name = word.replace(/=.*$/s, "");
  const where = command === undefined ? "" : ` of ${command.name}`;
  const spellings = options.flatMap((option) => [
    `--${option.name}`,
    ...(option.alias === undefined ? [] : [`-${option.alias}`]),
  ]);
  const close = name.startsWith("--") ? nearest(name, spellings) : undefined;
  const owners = COMMANDS.filter((other) =>
    other.options.some((option) => `--${option.name}` === name),
  ).map((other) => other.name);
  const glued = options.find(
    ({ alias }) => alias !== undefined && /^-[^-]./.test(word) && word[1] === alias,
  );
  let hint = close === undefined ? undefined : `did you mean ${close}?`;
  if (hint === undefined && owners.length > 0)
    hint =
      command === undefined
        ? `write ${name} after the command`
        : `${name} belongs to ${owners.join(", ")}`;
  if (hint === undefined && glued !== undefined && glued.kind !== "flag") {
    hint = `write -${glued.alias} ${printable(word.slice(2), 80)}`;
  }
  return usage(`there is no option ${printable(name, 80)}${where}`, command, hint);
}

export function unknownCommand(words: readonly string[]): SpInferError {
  const [first = "", second] = words;
  if (second !== undefined || COMMAND_WORDS.includes(first)) {
    const members = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
    if (members.length > 0) return unknownMember(first, second, members);
  }
  const close = nearest(first, COMMAND_WORDS);
  return usage(
    `there is no command "${printable(first, 80)}"`,
    undefined,
    close === undefined ? undefined : `did you mean "${close}"?`,
    COMMAND_WORDS.join(", "),
  );
}

function unknownMember(
  group: string,
  word: string | undefined,
  members: readonly CommandSpec[],
): SpInferError {
  const names = members.map(({ name }) => name.slice(group.length + 1));
  const close = word === undefined ? undefined : nearest(word, names);
  const sentence =
    word === undefined
      ? `${group} needs another word`
      : `there is no command "${group} ${printable(word, 80)}"`;
  return usage(
    sentence,
    undefined,
    close === undefined ? undefined : `did you mean "${group} ${close}"?`,
    names.map((name) => `${group} ${name}`).join(", "),
  );
}

export function noCommand(): SpInferError {
  return usage("there is no command", undefined, undefined, COMMAND_WORDS.join(", "));
}

export function missingValue({ name, placeholder, choices, summary }: OptionSpec): SpInferError {
  const expected =
    choices === undefined ? `--${name} ${placeholder ?? "VALUE"}: ${summary}` : choices.join(", ");
  return new SpInferError("E_USAGE", `--${name} has no value`, { expected });
}

export function givenTwice({ name }: OptionSpec, values: readonly string[]): SpInferError {
  const shown = values.map((value) => `"${printable(value, 60)}"`).join(" and ");
  return new SpInferError("E_USAGE", `--${name} is given ${values.length} times: ${shown}`, {
    expected: `--${name} once`,
  });
}

export function badFlagValue({ name }: OptionSpec, word: string): SpInferError {
  return new SpInferError("E_USAGE", `${printable(word, 80)}: --${name} takes no value`, {
    hint: `write --${name}, or leave it out`,
  });
}

export function badChoice(what: string, value: string, choices: readonly string[]): SpInferError {
  const close = nearest(value, choices);
  return new SpInferError("E_USAGE", `${what}: "${printable(value, 80)}" is not accepted`, {
    expected: choices.join(", "),
    hint: close === undefined ? undefined : `did you mean "${close}"?`,
  });
}

export function conflictingFormats(format: string): SpInferError {
  return new SpInferError("E_USAGE", `--json and --format ${format} ask for different forms`, {
    hint: "give one of them",
  });
}

export function missingPositional(
  command: CommandSpec,
  { name, summary, choices }: PositionalSpec,
  values: ReadonlyMap<string, ArgumentValue>,
): SpInferError {
  const eaten = command.options.find(
    (option) => option.kind === "optional" && (values.get(option.name) ?? "") !== "",
  );
  const hint =
    eaten === undefined
      ? undefined
      : `--${eaten.name} took "${values.get(eaten.name)}" as its pattern: put ${name.toUpperCase()} before it`;
  return usage(
    `${command.name} needs a ${name}`,
    command,
    hint,
    choices === undefined ? `${name.toUpperCase()}: ${summary}` : choices.join(", "),
  );
}

export function missingOutput(command: string): SpInferError {
  return new SpInferError("E_USAGE", `${command} needs an output folder`, {
    expected: "-o DIR, a folder that does not exist yet",
    hint: "to see only what would happen, add --dry-run",
  });
}

export function unexpected(command: CommandSpec, word: string): SpInferError {
  return usage(`"${printable(word, 80)}" is one argument too many`, command);
}

function usage(
  sentence: string,
  command: CommandSpec | undefined,
  hint?: string,
  expected?: string,
): SpInferError {
  const help = command === undefined ? "spinfer --help" : `spinfer ${command.name} --help`;
  return new SpInferError("E_USAGE", sentence, {
    expected: expected ?? (command === undefined ? undefined : usageLine(command)),
    hint: hint ?? `see ${help}`,
  });
}
