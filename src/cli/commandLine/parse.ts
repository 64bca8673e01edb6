/**
 * From the words of a command line to a command and its arguments. yargs splits, binds and routes;
 * what is not accepted is said by ./complain.ts, in our words and with the nearest name.
 */
import yargs, { type Argv } from "yargs";
import { groupBy } from "../../core/groupBy.ts";
import { Arguments, type ArgumentValue } from "./arguments.ts";
import { COMMAND_WORDS, COMMANDS, findCommand } from "./commands.ts";
import {
  badChoice,
  badFlagValue,
  conflictingFormats,
  givenTwice,
  missingPositional,
  missingValue,
  noCommand,
  unexpected,
  unknownCommand,
  unknownOption,
} from "./complain.ts";
import { GLOBAL_OPTIONS } from "./options.ts";
import type { CommandSpec, OptionSpec } from "./spec.ts";

export interface CommandLine {
  /** Absent: none was named, which is only accepted with --help, --version or nothing. */
  readonly command: CommandSpec | undefined;
  /** The first word of commands of two, when help was asked for with that word only. */
  readonly word?: string;
  readonly arguments: Arguments;
}

type Raw = Readonly<Record<string, unknown>>;

/** Throws E_USAGE. */
export function parseCommandLine(words: readonly string[]): CommandLine {
  const own = words.includes("--") ? words.slice(0, words.indexOf("--")) : words;
  const { command, raw } = route(words);
  const loose = (raw["_"] as readonly (string | number)[]).map(String);
  const options = [...(command?.options ?? []), ...GLOBAL_OPTIONS];
  const [word = ""] = loose;
  const helpOnWord = raw["help"] === true && loose.length === 1 && COMMAND_WORDS.includes(word);
  if (command === undefined && /^[^-]/.test(word) && !helpOnWord) throw unknownCommand(loose);
  const stray = loose.find((word) => /^-./.test(word));
  if (stray !== undefined) throw unknownOption(stray, command, options);
  const values = optionValues(raw, options, command, own);
  checkFormats(values);
  const asked = values.get("help") === true || values.get("version") === true;
  if (command === undefined) {
    if (words.length > 0 && !asked) throw noCommand();
    return { command, ...(helpOnWord ? { word } : {}), arguments: new Arguments(values) };
  }
  const rest = afterCommand(command, loose);
  if (!asked) bindPositionals(command, [...rest, ...literal(raw)], values);
  return { command, arguments: new Arguments(values) };
}

function optionValues(
  raw: Raw,
  options: readonly OptionSpec[],
  command: CommandSpec | undefined,
  words: readonly string[],
): Map<string, ArgumentValue> {
  for (const key of Object.keys(raw)) {
    if (["_", "--", "$0"].includes(key) || options.some(({ name }) => name === key)) continue;
    throw unknownOption(`--${key}`, command, options);
  }
  const values = new Map<string, ArgumentValue>();
  for (const option of options) {
    const value = optionValue(option, raw[option.name], words);
    if (value !== undefined) values.set(option.name, value);
  }
  return values;
}

/** Lets yargs find the command and its options. */
function route(words: readonly string[]): { command: CommandSpec | undefined; raw: Raw } {
  let chosen: string | undefined;
  const choose = (name: string) => (): void => {
    chosen = name;
  };
  const parser = yargs()
    .scriptName("spinfer")
    .locale("en")
    .exitProcess(false)
    .help(false)
    .version(false)
    .fail(false)
    .parserConfiguration({
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "greedy-arrays": false,
      "boolean-negation": false,
      "strip-aliased": true,
      // they then stand among the loose words, exactly as they were written
      "unknown-options-as-args": true,
      "populate--": true,
    })
    .options(declarations(GLOBAL_OPTIONS));
  const groups = groupBy(COMMANDS, ({ name }) => name.split(" ")[0]!);
  for (const [word, members] of groups) {
    parser.command(
      word,
      "",
      (nested: Argv) => {
        for (const { name, options } of members) {
          const second = name.split(" ")[1];
          if (second === undefined) nested.options(declarations(options));
          else nested.command(second, "", declarations(options), choose(name));
        }
        return nested;
      },
      choose(word),
    );
  }
  const raw = parser.parseSync([...words]) as Raw;
  return { command: chosen === undefined ? undefined : findCommand(chosen), raw };
}

const YARGS_TYPES = {
  flag: { type: "boolean" },
  value: { type: "string" },
  optional: { type: "string" },
  list: { type: "array", string: true },
} as const;

function declarations(options: readonly OptionSpec[]) {
  return Object.fromEntries(
    options.map(({ name, alias, kind }) => [
      name,
      { ...YARGS_TYPES[kind], ...(alias === undefined ? {} : { alias }) },
    ]),
  );
}

function optionValue(
  option: OptionSpec,
  value: unknown,
  words: readonly string[],
): ArgumentValue | undefined {
  const { name, kind, choices } = option;
  if (kind === "flag") {
    const assigned = words.find((word) => word.startsWith(`--${name}=`));
    if (assigned !== undefined) throw badFlagValue(option, assigned);
    return Array.isArray(value) ? Boolean(value.at(-1)) : (value as boolean | undefined);
  }
  if (value === undefined) return undefined;
  if (kind === "list") {
    const items = (value as readonly unknown[]).map(String);
    if (endsBare(name, words) || items.some((item) => isMissing(name, item, words)))
      throw missingValue(option);
    return items;
  }
  if (Array.isArray(value)) throw givenTwice(option, value.map(String));
  const text = String(value);
  if (kind !== "optional" && isMissing(name, text, words)) throw missingValue(option);
  if (choices !== undefined && !choices.includes(text)) throw badChoice(`--${name}`, text, choices);
  return text;
}

/** Whether a list option stands somewhere without a value, which yargs would pass over. */
function endsBare(name: string, words: readonly string[]): boolean {
  return words.some((word, i) => word === `--${name}` && (words[i + 1] ?? "--").startsWith("--"));
}

/** Nothing, or another option where the value should be. */
function isMissing(name: string, text: string, words: readonly string[]): boolean {
  if (text === "") return true;
  return text.startsWith("--") && !words.includes(`--${name}=${text}`);
}

function checkFormats(values: Map<string, ArgumentValue>): void {
  const format = values.get("format");
  if (values.get("json") !== true || format === undefined || format === "json") return;
  throw conflictingFormats(String(format));
}

/** The loose words without the command's own. */
function afterCommand({ name }: CommandSpec, loose: readonly string[]): readonly string[] {
  const own = name.split(" ");
  if (own.some((word, i) => loose[i] !== word)) throw unknownCommand(loose);
  return loose.slice(own.length);
}

/** What follows `--`, options no more. */
function literal(raw: Raw): string[] {
  return ((raw["--"] as readonly unknown[] | undefined) ?? []).map(String);
}

function bindPositionals(
  command: CommandSpec,
  words: readonly string[],
  values: Map<string, ArgumentValue>,
): void {
  for (const [i, positional] of command.positionals.entries()) {
    const word = words[i];
    if (word === undefined || word === "") {
      if (positional.required) throw missingPositional(command, positional, values);
      continue;
    }
    const { name, choices } = positional;
    if (positional.repeated === true) {
      values.set(name, words.slice(i));
      return;
    }
    if (choices !== undefined && !choices.includes(word)) throw badChoice(name, word, choices);
    values.set(name, word);
  }
  const extra = words[command.positionals.length];
  if (extra !== undefined) throw unexpected(command, extra);
}
