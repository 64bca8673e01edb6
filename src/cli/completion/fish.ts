/** Completion for fish. */
import { COMMANDS } from "../commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../commandLine/options.ts";
import type { CommandSpec, OptionSpec } from "../commandLine/spec.ts";
import { firstChoices, groups, lastWord } from "./candidates.ts";

export function fishScript(): string {
  const grouped = groups();
  const single = COMMANDS.filter(({ name }) => !name.includes(" "));
  return `${[
    "# fish completion for spinfer",
    ...single.map((command) =>
      complete("__fish_use_subcommand", `-f -a ${command.name}`, command.summary),
    ),
    ...[...grouped].flatMap(([group, members]) => [
      complete("__fish_use_subcommand", `-f -a ${group}`, members.map(lastWord).join(", ")),
      ...members.map((member) =>
        complete(
          `__fish_seen_subcommand_from ${group}; and not __fish_seen_subcommand_from ${members.map(lastWord).join(" ")}`,
          `-f -a ${lastWord(member)}`,
          member.summary,
        ),
      ),
    ]),
    ...GLOBAL_OPTIONS.map((option) => optionLine(undefined, option)),
    ...COMMANDS.flatMap((command) => [
      ...positionalLines(command),
      ...command.options.map((option) => optionLine(condition(command), option)),
    ]),
  ].join("\n")}\n`;
}

function condition({ name }: CommandSpec): string {
  return name
    .split(" ")
    .map((word) => `__fish_seen_subcommand_from ${word}`)
    .join("; and ");
}

function positionalLines(command: CommandSpec): string[] {
  const words = firstChoices(command);
  const [first] = command.positionals;
  if (words === undefined || first === undefined) return [];
  return [complete(condition(command), `-f -a ${quote(words.join(" "))}`, first.summary)];
}

function optionLine(when: string | undefined, option: OptionSpec): string {
  const { name, alias, kind, choices, value, summary } = option;
  const flags = [
    `-l ${name}`,
    ...(alias === undefined ? [] : [`-s ${alias}`]),
    ...valueFlags(kind, choices, value !== undefined),
  ];
  return complete(when, flags.join(" "), summary);
}

function valueFlags(
  kind: OptionSpec["kind"],
  choices: readonly string[] | undefined,
  path: boolean,
): string[] {
  if (kind === "flag" || kind === "optional") return [];
  if (choices !== undefined) return [`-x -a ${quote(choices.join(" "))}`];
  return path ? ["-r"] : ["-x"];
}

function complete(when: string | undefined, what: string, summary: string): string {
  const where = when === undefined ? "" : ` -n ${quote(when)}`;
  return `complete -c spinfer${where} ${what} -d ${quote(summary)}`;
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, (char) => `\\${char}`)}'`;
}
