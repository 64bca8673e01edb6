/** Completion for bash 3.2 and later; needs no bash-completion. */
import { COMMAND_WORDS, COMMANDS } from "../commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../commandLine/options.ts";
import { firstChoices, groups, lastWord, optionsOf, spellings } from "./candidates.ts";

export function bashScript(): string {
  const words = (list: readonly string[]): string => `"${list.join(" ")}"`;
  const optionCases = COMMANDS.map(
    (command) =>
      `    ${quote(command.name)}) opts=${words(optionsOf(command).flatMap(spellings))} ;;`,
  );
  const choices = new Map<string, readonly string[]>();
  const paths: string[] = [];
  const plain: string[] = [];
  for (const option of [...COMMANDS.flatMap(({ options }) => options), ...GLOBAL_OPTIONS]) {
    if (option.kind === "flag" || option.kind === "optional") continue;
    for (const spelling of spellings(option)) {
      if (option.choices !== undefined) choices.set(spelling, option.choices);
      else if (option.value !== undefined) paths.push(spelling);
      else plain.push(spelling);
    }
  }
  const choiceCases = [...choices].map(
    ([spelling, list]) =>
      `    ${spelling}) COMPREPLY=($(compgen -W ${words(list)} -- "$cur")); return ;;`,
  );
  const positionalCases = COMMANDS.flatMap((command) => {
    const list = firstChoices(command);
    return list === undefined ? [] : [`    ${quote(command.name)}) words=${words(list)} ;;`];
  });
  const groupCases = [...groups()].map(
    ([group, members]) => `    ${quote(group)}) words=${words(members.map(lastWord))} ;;`,
  );
  return `# bash completion for spinfer
_spinfer() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  local command="" opts="" words="" word i
  # words of the command so far, without options
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$word" in
      -*) ;;
      *) if [[ -z $command ]]; then command=$word
         elif [[ ${[...groups().keys()].map((group) => `$command == ${quote(group)}`).join(" || ")} ]]; then command="$command $word"; fi ;;
    esac
  done
  COMPREPLY=()
  case "$prev" in
${choiceCases.join("\n")}
    ${unique(paths).join("|")}) compopt -o default 2>/dev/null; return ;;
    ${unique(plain).join("|")}) return ;;
  esac
  case "$command" in
    "") words=${words(COMMAND_WORDS)} opts=${words(GLOBAL_OPTIONS.flatMap(spellings))} ;;
${optionCases.join("\n")}
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$opts" -- "$cur"))
    return
  fi
  case "$command" in
${[...groupCases, ...positionalCases].join("\n")}
  esac
  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))
  else compopt -o default 2>/dev/null; fi
}
complete -F _spinfer spinfer
`;
}

function quote(text: string): string {
  return text.includes(" ") ? `"${text}"` : text;
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)];
}
