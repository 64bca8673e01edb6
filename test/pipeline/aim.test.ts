import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Archive } from "../../src/core/archive.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { readManifest } from "../../src/pipeline/manifest.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { aimRecipe } from "../../src/pipeline/plan/aim.ts";
import { makePlan } from "../../src/pipeline/plan/plan.ts";
import {
  defaultRecipe,
  readRecipe,
  recipeToYaml,
  resolveRecipe,
} from "../../src/pipeline/recipe/index.ts";
import { verifyCheckpoint } from "../../src/pipeline/verify.ts";
import { fileFolder } from "../helpers/models.ts";

const MODEL = "models/demo";
const planning = { threads: 1, limits: DEFAULT_LIMITS };
const recipeWith = (target: string) =>
  readRecipe(`{version: 1, prune: {target: ${target}}}`, "r.yaml");

let archive: Archive;
const folder = fileFolder();
beforeAll(async () => {
  ({ archive } = await openModel(MODEL));
});

describe("a wanted size", () => {
  it.each(["3MB", "4500000", "5.9MB", "45%", "80%"])(
    "%s is met within one percent",
    async (target) => {
      const output = join(folder, target.replace("%", "percent"));
      const report = await executeRecipe(MODEL, output, recipeWith(target), { threads: 1 });
      const dense = statSync(join(MODEL, "model.safetensors")).size;
      const wanted = target.endsWith("%")
        ? (Number.parseFloat(target) / 100) * dense
        : { "3MB": 3e6, "5.9MB": 5.9e6, "4500000": 4.5e6 }[target]!;
      expect(Math.abs(report.bytesOut / wanted - 1)).toBeLessThan(0.01);
      const { recipe } = readManifest(readFileSync(join(output, "spinfer_manifest.json")), output);
      const { prune } = readRecipe(recipe, "r.yaml");
      expect(prune!.sparsity).toBeGreaterThan(0);
      expect(prune).not.toHaveProperty("target");
      expect((await verifyCheckpoint(output, { level: "full" })).ok).toBe(true);
    },
  );

  it("gives the least sparsity that does, the same each time", () => {
    const aimed = aimRecipe(archive, recipeWith("50%"), planning);
    expect(aimRecipe(archive, recipeWith("50%"), planning)).toEqual(aimed);
    const { sparsity } = aimed.prune!;
    const bytes = (value: number) => {
      const { target: _, ...prune } = { ...aimed.prune!, sparsity: value };
      return makePlan(archive, { ...aimed, prune }, planning).totals.bytesOut;
    };
    expect(bytes(sparsity)).toBeLessThan(bytes(sparsity - 0.0001));
  });

  it("leaves overrides their sparsity, and asks more of the others", () => {
    const plain = aimRecipe(archive, recipeWith("60%"), planning);
    const text = `
version: 1
prune:
  target: 60%
  overrides: [{ targets: [down_proj], sparsity: 0.1 }]`;
    const aimed = aimRecipe(archive, readRecipe(text, "r.yaml"), planning);
    expect(aimed.prune!.sparsity).toBeGreaterThan(plain.prune!.sparsity);
    expect(aimed.prune!.overrides[0]!.sparsity).toBe(0.1);
  });

  it("prunes nothing where the model is small enough", () => {
    expect(aimRecipe(archive, recipeWith("1GB"), planning).prune!.sparsity).toBe(0);
  });

  it("is refused where no sparsity reaches it", () => {
    expect(() => aimRecipe(archive, recipeWith("10%"), planning)).toThrow(
      expect.objectContaining({ code: "E_OPTION", message: expect.stringContaining("10%") }),
    );
  });

  it("is no plan of its own", () => {
    expect(() => makePlan(archive, recipeWith("50%"), planning)).toThrow(
      expect.objectContaining({ code: "E_INTERNAL" }),
    );
  });
});

describe("target in recipes and flags", () => {
  it.each([
    ["{target: 60%, sparsity: 0.5}", "finds the sparsity"],
    ["{target: 60%, pattern: '2:4'}", "pattern 2:4"],
    ["{target: 0%}", "expected a size such as 2GB"],
    ["{target: 101%}", "expected a size such as 2GB"],
    ["{target: much}", "expected a size such as 2GB"],
  ])("refuses %s", (prune, words) => {
    const text = `{version: 1, prune: ${prune}}`;
    expect(() => readRecipe(text, "r.yaml")).toThrow(
      expect.objectContaining({
        code: "E_RECIPE_VALUE",
        message: expect.stringContaining(words),
      }),
    );
  });

  it("refuses a dense output, whose size is always the same", () => {
    expect(() => resolveRecipe(defaultRecipe("prune"), { target: "60%", to: "dense" })).toThrow(
      expect.objectContaining({ code: "E_OPTION", message: expect.stringContaining("to: dense") }),
    );
  });

  it("the flag takes the place of a sparsity, and a sparsity that of a target", () => {
    const { recipe, overridden } = resolveRecipe(defaultRecipe("prune"), { target: "2GB" }, "r");
    expect(recipe.prune!.target).toBe("2GB");
    expect(overridden).toEqual(["--target 2GB replaces sparsity 0.5 of r"]);
    const back = resolveRecipe(recipe, { sparsity: 0.3 }, "r");
    expect(back.recipe.prune).toMatchObject({ sparsity: 0.3 });
    expect(back.recipe.prune!.target).toBeUndefined();
    expect(back.overridden).toEqual(["--sparsity 0.3 replaces target 2GB of r"]);
  });
});

describe("a perplexity limit in recipes and flags", () => {
  const LIMITED = `version: 1
prune: { method: wanda, target: ppl<=+5% }
calibration: { data: a.txt }
evaluation: { data: b.txt, protocol: llamacpp, max_windows: 8 }
`;

  it("is read with its text and defaults, and written as it was", () => {
    const recipe = readRecipe(LIMITED, "r.yaml");
    expect(recipe.prune!.target).toBe("ppl<=+5%");
    expect(recipe.calibration!.mode).toBe("one-pass");
    expect(recipe.evaluation).toEqual({ data: "b.txt", protocol: "llamacpp", maxWindows: 8 });
    expect(readRecipe(recipeToYaml(recipe), "again.yaml")).toEqual(recipe);
    const bare = readRecipe('{version: 1, prune: {target: "ppl<=12.5"}}', "r.yaml");
    expect(bare.evaluation).toEqual({ protocol: "wanda" });
  });

  it.each([
    ["{target: ppl<=+5%, sparsity: 0.5}", "", "finds the sparsity"],
    ["{target: ppl<=+5%, pattern: '2:4'}", "", "pattern 2:4"],
    ["{target: ppl>=5}", "", "a perplexity limit such as ppl<=+5%"],
    ["{target: ppl<=5%}", "", "a perplexity limit such as ppl<=+5%"],
    ["{target: agreement>=95%}", "", "a perplexity limit such as ppl<=+5%"],
    ["{sparsity: 0.5}", "evaluation: {data: b.txt}", "data is for a perplexity limit"],
    ["{target: 60%}", "evaluation: {ctx: 64}", "ctx is for a perplexity limit"],
    ["{target: ppl<=+5%}", "evaluation: {ctx: 0}", "ctx is 0, expected a whole number from 1"],
    ["{target: ppl<=+5%}", "evaluation: {windows: 3}", 'unknown key "windows"'],
    ["{target: ppl<=+5%}", "evaluation: {bos: twice}", "expected one of none, once, window"],
  ])("refuses %s %s", (prune, rest, words) => {
    const text = `version: 1\nprune: ${prune}\n${rest}\n`;
    expect(() => readRecipe(text, "r.yaml")).toThrow(
      expect.objectContaining({ message: expect.stringContaining(words) }),
    );
  });

  it("flags put it on a recipe and take it away with its text", () => {
    const flags = { target: "ppl<=9", dataset: "b.txt", ctx: "64", calib: "a.txt" };
    const { recipe, overridden } = resolveRecipe(defaultRecipe("prune"), flags, "r");
    expect(recipe.evaluation).toEqual({ data: "b.txt", protocol: "wanda", ctx: 64 });
    expect(recipe.calibration!.mode).toBe("one-pass");
    expect(overridden).toEqual(["--target ppl<=9 replaces sparsity 0.5 of r"]);
    for (const other of [{ sparsity: 0.3 }, { target: "60%" }, { pattern: "2:4" }])
      expect(resolveRecipe(recipe, other, "r").recipe.evaluation).toBeUndefined();
    const moved = resolveRecipe(recipe, { target: "ppl<=+1%", ctx: 32 }, "r");
    expect(moved.recipe.evaluation).toEqual({ data: "b.txt", protocol: "wanda", ctx: 32 });
    expect(moved.overridden).toEqual([
      "--target ppl<=+1% replaces target ppl<=9 of r",
      "--ctx 32 replaces ctx 64 of r",
    ]);
  });
});
