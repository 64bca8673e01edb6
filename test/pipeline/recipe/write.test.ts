import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  defaultRecipe,
  defaultRecipeYaml,
  PRESETS,
  type Recipe,
  readRecipe,
  recipeToYaml,
} from "../../../src/pipeline/recipe/index.ts";
import { recipeJsonSchema } from "../../../src/pipeline/recipe/jsonSchema.ts";
import { describePython, runPython } from "../../helpers/python.ts";
import { recipes } from "./arbitraryRecipe.ts";

describe("recipeToYaml", () => {
  it("writes every value in one order", () => {
    const recipe = readRecipe(
      "convert: {to: dense}\nprune: {overrides: [{skip: true, targets: [a]}], pattern: 2:4, seed: 1}\nversion: 1\n",
      "r",
    );
    expect(recipeToYaml(recipe)).toBe(`version: 1
prune:
  method: magnitude
  pattern: "2:4"
  seed: 1
  targets:
    - Linear
  ignore: []
  allow_empty: false
  overrides:
    - targets:
        - a
      skip: true
convert:
  to: dense
  max_shard_size: 5GB
  strict_finite: false
`);
  });

  it("is read back as the same recipe, and written as the same text", () => {
    fc.assert(
      fc.property(recipes, (recipe) => {
        const text = recipeToYaml(recipe);
        expect(readRecipe(text, "again.yaml")).toEqual(recipe);
        expect(recipeToYaml(readRecipe(text, "again.yaml"))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it("keeps an override that says no more than skip: false", () => {
    const text = "version: 1\nprune: {sparsity: 0.5, overrides: [{targets: [a], skip: false}]}\n";
    const recipe = readRecipe(text, "r");
    expect(readRecipe(recipeToYaml(recipe), "r")).toEqual(recipe);
  });

  it("uses no anchors for lists that are the same object", () => {
    const targets = ["a"];
    const recipe: Recipe = {
      ...defaultRecipe("prune"),
      prune: { ...defaultRecipe("prune").prune!, targets, ignore: targets },
    };
    expect(recipeToYaml(recipe)).not.toContain("&");
  });
});

describe("presets", () => {
  it.each(PRESETS)("%s is a valid recipe with comments", (preset) => {
    const text = defaultRecipeYaml(preset);
    expect(text).toMatch(/^# A recipe for SpInfer/);
    const recipe = readRecipe(text, `${preset}.yaml`);
    expect(recipe.prune === undefined).toBe(preset === "convert");
  });

  it.each(PRESETS)("%s stays valid when what is commented out is let in", (preset) => {
    const text = defaultRecipeYaml(preset)
      .replaceAll(/^# (model|output): /gm, "$1: ")
      .replaceAll(/^ {2}# (overrides:| {2}.*)$/gm, "  $1")
      .replaceAll(/^ {2}# dtype: f16.*$/gm, "  dtype: f16");
    const recipe = readRecipe(text, preset);
    expect(recipe.model).toBe("./my-model");
    expect(recipe.convert.dtype).toBe("F16");
    if (preset !== "convert") expect(recipe.prune?.overrides).toHaveLength(2);
  });

  it("names the nearest preset", () => {
    expect(() => defaultRecipeYaml("magnitude50")).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        detail: { expected: PRESETS.join(", "), hint: 'did you mean "magnitude-50"?' },
      }),
    );
  });
});

const root = new URL("../../../", import.meta.url);

describe("published files", () => {
  it("the JSON Schema is what the schema makes (scripts/makeSchemas.mjs)", () => {
    const file = new URL("src/pipeline/recipe/recipe.schema.json", root);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(recipeJsonSchema());
  });

  const examples = readdirSync(new URL("docs/examples/", root)).filter((name) =>
    name.endsWith(".yaml"),
  );

  it.each(examples)("docs/examples/%s is valid", (name) => {
    const text = readFileSync(new URL(`docs/examples/${name}`, root));
    expect(readRecipe(text, name).version).toBe(1);
  });

  it("the recipes and tables of docs/recipe.md are those of the schema", () => {
    const page = readFileSync(new URL("docs/recipe.md", root), "utf8");
    const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = ""]) => text);
    expect(blocks.length).toBeGreaterThan(1);
    for (const text of blocks) expect(readRecipe(text, "docs/recipe.md").version).toBe(1);
    const documented = [...page.matchAll(/^\| `([a-z_.[\]]+)` \|/gm)].map(([, key = ""]) => key);
    expect(documented.toSorted()).toEqual(schemaKeys(recipeJsonSchema()).toSorted());
  });
});

/** Paths of all leaves of the schema: "prune.overrides[].skip". */
function schemaKeys(schema: Record<string, unknown>, path = ""): string[] {
  const properties = schema["properties"] as Record<string, Record<string, unknown>> | undefined;
  const items = schema["items"] as Record<string, unknown> | undefined;
  if (items?.["properties"] !== undefined) return schemaKeys(items, `${path}[]`);
  if (properties === undefined) return [path];
  return Object.entries(properties).flatMap(([key, inner]) =>
    schemaKeys(inner, path === "" ? key : `${path}.${key}`),
  );
}

describePython("recipes beside PyYAML", () => {
  it("are read by a YAML 1.1 reader with the same values", () => {
    const samples = fc
      .sample(recipes, { numRuns: 300, seed: 5 })
      .map(recipeToYaml)
      // YAML 1.1 as PyYAML has it knows 1.0e-7 but not 1e-7
      .filter((text) => !/: \d+e-\d+$/m.test(text));
    expect(samples.length).toBeGreaterThan(100);
    const output = runPython(
      `import json, sys, yaml
texts = json.load(sys.stdin)
print(json.dumps([yaml.safe_load(text) for text in texts]))`,
      [],
      { input: JSON.stringify(samples) },
    );
    const seen = JSON.parse(output.toString("utf8")) as unknown[];
    for (const [index, value] of seen.entries()) {
      expect(readRecipe(JSON.stringify(value), "r")).toEqual(readRecipe(samples[index]!, "r"));
    }
  });
});
