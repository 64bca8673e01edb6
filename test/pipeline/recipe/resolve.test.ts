import { describe, expect, it } from "vitest";
import {
  defaultRecipe,
  type RecipeFlags,
  readRecipe,
  resolveRecipe,
} from "../../../src/pipeline/recipe/index.ts";

const RECIPE = readRecipe(
  `version: 1
model: a
prune:
  sparsity: 0.5
  seed: 3
  overrides:
    - targets: [down_proj]
      sparsity: 0.4
convert:
  max_shard_size: 5GB
`,
  "recipe.yaml",
);

const resolve = (flags: RecipeFlags, recipe = RECIPE) =>
  resolveRecipe(recipe, flags, "recipe.yaml");

describe("resolveRecipe", () => {
  it("YA-11 lets flags win and says what each replaced", () => {
    const { recipe, overridden } = resolve({
      model: "b",
      output: "out",
      method: "random",
      sparsity: "0.6",
      seed: "4",
      targets: ["q_proj", "k_proj"],
      allowEmpty: true,
      to: "dense",
      dtype: "f32",
      maxShardSize: "2GB",
      strictFinite: true,
    });
    expect(recipe).toEqual({
      version: 1,
      model: "b",
      output: "out",
      prune: {
        ...RECIPE.prune,
        method: "random",
        sparsity: 0.6,
        options: { seed: 4 },
        targets: ["q_proj", "k_proj"],
        allowEmpty: true,
      },
      convert: { to: "dense", dtype: "F32", maxShardBytes: 2_000_000_000, strictFinite: true },
    });
    expect(overridden).toEqual([
      "--model b replaces model a of recipe.yaml",
      "--method random replaces method magnitude of recipe.yaml",
      "--sparsity 0.6 replaces sparsity 0.5 of recipe.yaml",
      "--seed 4 replaces seed 3 of recipe.yaml",
      "--targets q_proj, k_proj replaces targets Linear of recipe.yaml",
      "--allow-empty replaces allow_empty false of recipe.yaml",
      "--to dense replaces to tile-bitmap of recipe.yaml",
      "--max-shard-size 2GB replaces max_shard_size 5GB of recipe.yaml",
      "--strict-finite replaces strict_finite false of recipe.yaml",
      "--sparsity leaves the overrides of recipe.yaml as they are",
    ]);
  });

  it("YA-11 says nothing about flags that change nothing, and leaves the recipe alone", () => {
    const before = structuredClone(RECIPE);
    const same = resolve({ model: "a", seed: 3, maxShardSize: "5GB", scope: undefined });
    expect(same).toEqual({ recipe: RECIPE, overridden: [] });
    resolve({ sparsity: 0.9 });
    expect(RECIPE).toEqual(before);
  });

  it("YA-11 takes a pattern for the sparsity too", () => {
    const plain = readRecipe("version: 1\nprune: {sparsity: 0.6}\n", "r");
    const { recipe, overridden } = resolve({ pattern: "2:4" }, plain);
    expect(recipe.prune).toMatchObject({ pattern: "2:4", sparsity: 0.5 });
    expect(overridden).toEqual([
      "--pattern 2:4 makes the sparsity 0.5, not 0.6 as in recipe.yaml",
      "--pattern 2:4 replaces pattern unstructured of recipe.yaml",
    ]);
    const groups = readRecipe("version: 1\nprune: {pattern: 2:4}\n", "r");
    expect(resolve({ pattern: "unstructured", sparsity: 0.6 }, groups).recipe.prune).toMatchObject({
      pattern: "unstructured",
      sparsity: 0.6,
    });
  });

  it("completes the recipe of a command without a file", () => {
    expect(resolve({ sparsity: 0.7 }, defaultRecipe("prune")).recipe.prune?.sparsity).toBe(0.7);
    expect(resolve({ to: "dense" }, defaultRecipe("convert")).recipe.prune).toBeUndefined();
    expect(resolve({ sparsity: 0.7 }, defaultRecipe("convert")).recipe.prune?.sparsity).toBe(0.7);
  });

  it.each<[RecipeFlags, string]>([
    [{ sparsity: "abc" }, '--sparsity: sparsity is the text "abc", expected a fraction from 0'],
    [{ sparsity: "50%" }, ", write 0.5"],
    [{ sparsity: 50 }, "--sparsity: sparsity is 50, expected a fraction"],
    [{ sparsity: Number.NaN }, "--sparsity: sparsity is NaN"],
    [{ sparsity: "1e400" }, "--sparsity: sparsity is Infinity"],
    [{ sparsity: "" }, "--sparsity: sparsity is empty text"],
    [{ seed: "-1" }, "--seed: seed is -1, expected a whole number"],
    [{ pattern: "4:2" }, '--pattern: pattern is the text "4:2"'],
    [{ scope: "col" }, "--scope: scope is the text"],
    [
      { to: "dens" },
      '--to: to is the text "dens", expected one of tile-bitmap, dense, write dense',
    ],
    [{ dtype: "int8" }, "--dtype: dtype is the text"],
    [{ maxShardSize: "big" }, "--max-shard-size: max_shard_size is the text"],
    [{ method: "" }, "--method: method is empty text"],
    [{ output: "" }, "--output: output is empty text, expected a path"],
    [{ targets: [] }, "--targets: targets is a list"],
    [{ ignore: ["a", ""] }, "--ignore: an item of ignore is empty text"],
    [{ pattern: "2:4", sparsity: 0.6 }, "--sparsity: sparsity 0.6 does not go with pattern 2:4"],
    [{ pattern: "2:4" }, "--pattern: override 1: sparsity 0.4 does not go with pattern 2:4"],
  ])("refuses %j as an option", (flags, sentence) => {
    expect(() => resolve(flags)).toThrow(
      expect.objectContaining({ code: "E_OPTION", message: expect.stringContaining(sentence) }),
    );
  });

  it("refuses flags that leave no sparsity", () => {
    const groups = readRecipe("version: 1\nprune: {pattern: 2:4}\n", "r");
    expect(() => resolve({ pattern: "unstructured" }, groups)).toThrow(
      '--sparsity: key "sparsity" is missing, write sparsity: 0.5',
    );
    expect(() => resolve({ sparsity: 0.6 }, groups)).toThrow("does not go with pattern 2:4");
  });

  it("refuses patterns that are no expressions by their own code", () => {
    expect(() => resolve({ ignore: ["re:["] })).toThrow(
      expect.objectContaining({
        code: "E_PATTERN",
        message: expect.stringMatching(/^--ignore: pattern "re:\["/),
      }),
    );
  });
});
