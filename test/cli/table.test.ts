import { describe, expect, it } from "vitest";
import { pruners } from "../../pruners/index.ts";
import { COMMANDS, findCommand } from "../../src/cli/commandLine/commands.ts";
import { CHOICES, GLOBAL_OPTIONS } from "../../src/cli/commandLine/options.ts";
import { parseCommandLine } from "../../src/cli/commandLine/parse.ts";
import { LOADERS, loadCommand } from "../../src/cli/commands/index.ts";
import { RESULTS } from "../../src/cli/schemas/index.ts";
import { PRESETS } from "../../src/pipeline/recipe/index.ts";
import {
  DTYPE_NAMES,
  RECIPE_DEFAULTS,
  SCOPES,
  TARGET_FORMATS,
} from "../../src/pipeline/recipe/schema.ts";
import { VERIFY_LEVELS } from "../../src/pipeline/verify.ts";

describe("the table of commands", () => {
  it("offers what the pipeline accepts", () => {
    expect(CHOICES.method).toEqual(pruners.names);
    expect(CHOICES.scope).toEqual(SCOPES);
    expect(CHOICES.to).toEqual(TARGET_FORMATS);
    expect(CHOICES.dtype).toEqual(DTYPE_NAMES);
    expect(CHOICES.level).toEqual(VERIFY_LEVELS);
    expect(CHOICES.preset).toEqual(PRESETS);
  });

  it("says the defaults that recipes have", () => {
    const summaryOf = (name: string): string =>
      findCommand("prune")!.options.find((option) => option.name === name)!.summary;
    expect(summaryOf("sparsity")).toContain(`(${RECIPE_DEFAULTS.sparsity})`);
    expect(summaryOf("method")).toContain(RECIPE_DEFAULTS.method);
    expect(summaryOf("to")).toContain(`(${RECIPE_DEFAULTS.to})`);
    expect(summaryOf("max-shard-size")).toContain(`(${RECIPE_DEFAULTS.maxShardBytes / 1e9}GB)`);
  });

  it("has code and a JSON shape for each command", async () => {
    const names = COMMANDS.map(({ name }) => name);
    expect(Object.keys(LOADERS)).toEqual(names);
    expect(Object.keys(RESULTS)).toEqual(names);
    for (const name of names) expect(await loadCommand(name)).toBeTypeOf("function");
  });

  it("names no option twice", () => {
    for (const { name, options } of COMMANDS) {
      const spellings = [...options, ...GLOBAL_OPTIONS].flatMap((option) => [
        option.name,
        ...(option.alias === undefined ? [] : [option.alias]),
      ]);
      expect(new Set(spellings).size, name).toBe(spellings.length);
    }
  });

  it.each(COMMANDS.flatMap(({ examples }) => examples.map(([text]) => text)))(
    "has an example that parses: %s",
    (text) => {
      const command = text.replace(/ > .*$/, "");
      const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, q, word]) => q ?? word!);
      expect(() => parseCommandLine(words.slice(1))).not.toThrow();
    },
  );

  it("gives every option of prune to plan, so that a command line can be planned first", () => {
    expect(findCommand("plan")!.options).toEqual(findCommand("prune")!.options);
  });
});
