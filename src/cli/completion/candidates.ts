/** What can be completed where, for scripts of all shells. */
import { COMMANDS } from "../commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../commandLine/options.ts";
import type { CommandSpec, OptionSpec } from "../commandLine/spec.ts";

/** Options of a command with those of all. */
export function optionsOf(command: CommandSpec): readonly OptionSpec[] {
  return [...command.options, ...GLOBAL_OPTIONS];
}

/** "--output" and "-o", or "--json". */
export function spellings({ name, alias }: OptionSpec): string[] {
  const long = `--${name}`;
  return alias === undefined ? [long] : [long, `-${alias}`];
}

/** Words after which a second one follows: "recipe" with init, validate, show. */
export function groups(): ReadonlyMap<string, readonly CommandSpec[]> {
  const found = new Map<string, CommandSpec[]>();
  for (const command of COMMANDS) {
    const [first = "", second] = command.name.split(" ");
    if (second !== undefined) found.set(first, [...(found.get(first) ?? []), command]);
  }
  return found;
}

/** The last word of a command's name. */
export function lastWord({ name }: CommandSpec): string {
  return name.split(" ").at(-1)!;
}

/** What the first positional accepts: words, or undefined for paths. */
export function firstChoices({ positionals }: CommandSpec): readonly string[] | undefined {
  return positionals[0]?.choices;
}
