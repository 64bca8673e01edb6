import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { COMMANDS } from "../../src/cli/commandLine/commands.ts";
import { GLOBAL_OPTIONS } from "../../src/cli/commandLine/options.ts";
import type { OptionSpec } from "../../src/cli/commandLine/spec.ts";
import { optionLabel, usageLine } from "../../src/cli/commandLine/usage.ts";
import {
  progressSchema,
  resultSchema,
  rowSchema,
  warningLineSchema,
} from "../../src/cli/schemas/index.ts";
import { errorSchema } from "../../src/cli/schemas/parts.ts";
import { ERROR_CODES, EXIT } from "../../src/core/errorCodes.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";

const read = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");

function optionTable(options: readonly OptionSpec[]): string[] {
  const row = (option: OptionSpec): string => {
    const choices = option.choices === undefined ? "" : `: ${option.choices.join(", ")}`;
    const cells = [`\`${optionLabel(option).trim()}\``, `${option.summary}${choices}`];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  };
  return ["| option | what |", "| --- | --- |", ...options.map(row)];
}

/** docs/cli-reference.md, from the tables that the command line itself is made of. */
function reference(): string {
  const commands = COMMANDS.flatMap((command) => [
    `## ${command.name}`,
    "",
    `\`${usageLine(command)}\``,
    "",
    `${command.summary.charAt(0).toUpperCase()}${command.summary.slice(1)}.`,
    "",
    ...command.positionals.map(({ name, summary, choices }) => {
      const words = choices === undefined ? "" : `: ${choices.join(", ")}`;
      return `- \`${name.toUpperCase()}\`: ${summary}${words}`;
    }),
    ...(command.positionals.length > 0 ? [""] : []),
    ...(command.options.length > 0 ? [...optionTable(command.options), ""] : []),
    "Examples:",
    "",
    ...command.examples.map(([text, what]) => `- \`${text}\`${what === "" ? "" : `: ${what}`}`),
    "",
  ]);
  return [
    "# Commands and options",
    "",
    "Made from the tables in src/cli/commandLine; `npx vitest run test/cli/docs.test.ts -u` writes it anew.",
    "",
    "## Options of all commands",
    "",
    ...optionTable(GLOBAL_OPTIONS),
    "",
    ...commands,
  ]
    .join("\n")
    .replace(/\n+$/, "\n");
}

describe("docs/cli-reference.md", () => {
  it("is what the command line accepts", async () => {
    await expect(reference()).toMatchFileSnapshot("../../docs/cli-reference.md");
  });
});

describe("docs/cli.md", () => {
  const text = read("docs/cli.md");

  it("has every limit with its default", () => {
    for (const [key, value] of Object.entries(DEFAULT_LIMITS)) {
      expect(text).toContain(`| \`${key}\` | ${value.toLocaleString("en-US")} |`);
    }
  });

  it("has every exit code", () => {
    const codes = new Set<number>([
      ...Object.values(EXIT),
      ...Object.values(ERROR_CODES).map(({ exit }) => exit),
    ]);
    const rows = [...text.matchAll(/^\| ([\d, ]+) \| /gm)].flatMap(([, cell]) =>
      cell!.split(", ").map(Number),
    );
    for (const code of codes) expect(rows).toContain(code);
  });
});

describe("docs/json.md", () => {
  const schemas: Readonly<Record<string, z.ZodType>> = {
    "spinfer.result/1": resultSchema,
    "spinfer.error/1": errorSchema,
    "spinfer.progress/1": progressSchema,
    "spinfer.warning/1": warningLineSchema,
    "spinfer.row/1": rowSchema,
  };
  const samples = [...read("docs/json.md").matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(
    ([, body]) => JSON.parse(body!),
  );

  it("has a sample of every shape", () => {
    expect(new Set(samples.map(({ schema }) => schema))).toEqual(new Set(Object.keys(schemas)));
  });

  it.each(samples.map((sample) => [sample.schema, sample]))(
    "has a sample of %s that is one",
    (schema, sample) => {
      expect(schemas[schema]!.parse(sample)).toEqual(sample);
    },
  );

  it("names every command", () => {
    for (const { name } of COMMANDS)
      expect(read("docs/json.md")).toContain(name.split(" ").at(-1)!);
  });
});
