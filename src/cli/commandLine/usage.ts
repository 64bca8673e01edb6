/** Help, from the tables. */
import { groupBy } from "../../core/groupBy.ts";
import { COMMANDS } from "./commands.ts";
import { GLOBAL_OPTIONS } from "./options.ts";
import type { CommandSpec, OptionSpec, PositionalSpec } from "./spec.ts";

const LONGEST_CHOICES = 20;

/** "spinfer prune MODEL -o DIR [options]" */
export function usageLine({ name, positionals, options }: CommandSpec): string {
  const words = positionals.map(({ name: word, required, repeated }) => {
    const shown = `${word.toUpperCase()}${repeated === true ? "…" : ""}`;
    return required ? shown : `[${shown}]`;
  });
  const output = options.find((option) => option.name === "output");
  const writes = ["prune", "convert", "sweep"].includes(name) && output !== undefined;
  return ["spinfer", name, ...words, ...(writes ? ["-o DIR"] : []), "[options]"].join(" ");
}

/** The help of one command. `width` in characters. */
export function commandHelp(command: CommandSpec, width: number): string {
  const groups = groupBy([...command.options, ...GLOBAL_OPTIONS], ({ group }) => group);
  const sections = [
    `Usage: ${usageLine(command)}`,
    capital(`${command.summary}.`),
    ...(command.positionals.length === 0
      ? []
      : [section("Arguments", command.positionals.map(positionalRow), width)]),
    ...[...groups].map(([group, options]) => section(group, options.map(optionRow), width)),
    examples(command),
  ];
  return `${sections.filter((text) => text !== "").join("\n\n")}\n`;
}

/** The help of all commands that begin with a word: "recipe". */
export function wordHelp(word: string, width: number): string {
  const members = COMMANDS.filter(({ name }) => name.split(" ")[0] === word);
  return members.map((member) => commandHelp(member, width)).join("\n");
}

/** The help of the tool. */
export function mainHelp(width: number): string {
  const rows = COMMANDS.map(({ name, summary }): Row => [name, summary]);
  return `${[
    "Usage: spinfer COMMAND [options]",
    "Prunes language models and stores them in a sparse checkpoint that is really smaller.",
    section("Commands", rows, width),
    section("Options of all commands", GLOBAL_OPTIONS.map(optionRow), width),
    [
      "A first run:",
      "  spinfer inspect ./Llama-3.2-1B",
      "  spinfer plan ./Llama-3.2-1B --sparsity 0.5",
      "  spinfer prune ./Llama-3.2-1B -o out --sparsity 0.5",
      "  spinfer verify out --level full",
    ].join("\n"),
    "More about one command: spinfer COMMAND --help; about an error: spinfer help E_…",
  ].join("\n\n")}\n`;
}

type Row = readonly [left: string, right: string];

/** "-o, --output DIR" */
export function optionLabel(option: OptionSpec): string {
  const { name, alias, kind, placeholder, choices } = option;
  const short = alias === undefined ? "    " : `-${alias}, `;
  if (kind === "flag") return `${short}--${name}`;
  const value = placeholder ?? (choices === undefined ? "VALUE" : choiceWord(choices));
  return `${short}--${name}${kind === "optional" ? `[=${value}]` : ` ${value}`}`;
}

/** The choices themselves where they are short. */
function choiceWord(choices: readonly string[]): string {
  const all = choices.join("|");
  return all.length <= LONGEST_CHOICES ? all : "WORD";
}

function optionRow(option: OptionSpec): Row {
  const { choices, summary } = option;
  const said = choices === undefined || choiceWord(choices) !== "WORD";
  return [optionLabel(option), said ? summary : `${summary}: ${choices.join(", ")}`];
}

function positionalRow({ name, summary, choices }: PositionalSpec): Row {
  const words = choices === undefined ? "" : `: ${choices.join(", ")}`;
  return [name.toUpperCase(), `${summary}${words}`];
}

function section(title: string, rows: readonly Row[], width: number): string {
  const left = Math.min(28, Math.max(...rows.map(([label]) => label.length)));
  const lines = rows.flatMap(([label, text]) => {
    const [first = "", ...more] = wrap(text, Math.max(30, width - left - 4));
    const gap = " ".repeat(left + 4);
    const rest = more.map((line) => `${gap}${line}`);
    return label.length > left
      ? [`  ${label}`, `${gap}${first}`, ...rest]
      : [`  ${label.padEnd(left)}  ${first}`, ...rest];
  });
  return [`${title}:`, ...lines].join("\n");
}

function examples({ examples: list }: CommandSpec): string {
  const lines = list.flatMap(([command, what]) =>
    what === "" ? [`  ${command}`] : [`  ${command}`, `      ${what}`],
  );
  return lines.length === 0 ? "" : ["Examples:", ...lines].join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
