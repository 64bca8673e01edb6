/** Completion for zsh. */
import { COMMANDS } from "../commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../commandLine/options.ts";
import type { CommandSpec, OptionSpec, PositionalSpec } from "../commandLine/spec.ts";
import { groups, lastWord } from "./candidates.ts";

export function zshScript(): string {
  const grouped = groups();
  const single = COMMANDS.filter(({ name }) => !name.includes(" "));
  const top = [
    ...single.map(({ name, summary }) => `${name}:${summary}`),
    ...[...grouped].map(([group, members]) => `${group}:${members.map(lastWord).join(", ")}`),
  ];
  return `#compdef spinfer
# zsh completion for spinfer

_spinfer() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${GLOBAL_OPTIONS.map(optionSpec).join(" \\\n    ")} \\
    '1: :->command' '*:: :->rest' && return
  case $state in
    command) _values 'command' ${top.map(valueSpec).join(" ")} ;;
    rest)
      case $words[1] in
${single.map((command) => `        ${command.name}) ${argumentsOf(command)} ;;`).join("\n")}
${[...grouped].map(([group, members]) => groupCase(group, members)).join("\n")}
      esac ;;
  esac
}

if [[ $funcstack[1] == _spinfer ]]; then _spinfer "$@"; else compdef _spinfer spinfer; fi
`;
}

function groupCase(group: string, members: readonly CommandSpec[]): string {
  const names = members.map((member) => valueSpec(`${lastWord(member)}:${member.summary}`));
  return `        ${group})
          if (( CURRENT == 2 )); then _values '${group}' ${names.join(" ")}
          else
            shift words; (( CURRENT-- ))
            case $words[1] in
${members.map((member) => `              ${lastWord(member)}) ${argumentsOf(member)} ;;`).join("\n")}
            esac
          fi ;;`;
}

function argumentsOf(command: CommandSpec): string {
  const specs = [
    ...command.options.map(optionSpec),
    ...GLOBAL_OPTIONS.map(optionSpec),
    ...command.positionals.map(positionalSpec),
  ];
  return `_arguments ${specs.join(" ")}`;
}

function optionSpec(option: OptionSpec): string {
  const { name, alias, kind, choices, value, summary, placeholder } = option;
  const long = `--${name}`;
  const what = `[${backslashed(summary)}]`;
  const message = backslashed(placeholder ?? "value");
  const takes =
    kind === "flag"
      ? ""
      : `${kind === "optional" ? "::" : ":"}${message}:${action(choices, value)}`;
  const suffix = kind === "optional" ? "=-" : "";
  const repeat = kind === "list" ? "*" : "";
  const specs = [quote(`${repeat}${long}${suffix}${what}${takes}`)];
  if (alias !== undefined) specs.push(quote(`-${alias}${what}${takes}`));
  return specs.join(" ");
}

function positionalSpec(
  { name, choices, value, required, repeated }: PositionalSpec,
  index: number,
): string {
  if (repeated === true) return quote(`*:${name}:${action(choices, value)}`);
  return quote(`${index + 1}:${required ? "" : ":"}${name}:${action(choices, value)}`);
}

function action(choices: readonly string[] | undefined, value: string | undefined): string {
  if (choices !== undefined) return `(${choices.join(" ")})`;
  return value === undefined || value === "text" ? " " : "_files";
}

function valueSpec(text: string): string {
  const [name = "", ...summary] = text.split(":");
  return quote(`${name}[${backslashed(summary.join(":"))}]`);
}

function backslashed(text: string): string {
  return text.replace(/[\\[\]:]/g, (char) => `\\${char}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
