/** Random valid recipes, as the pipeline sees them. */
import fc from "fast-check";
import {
  type ConvertRecipe,
  type LayerSettings,
  type Override,
  type PruneRecipe,
  patternSparsity,
  type Recipe,
  SCOPES,
  TARGET_FORMATS,
} from "../../../src/pipeline/recipe/index.ts";

/** Text that YAML could mistake for something else, and any other without control characters. */
const text = fc
  .oneof(
    fc.constantFrom(
      "yes",
      "null",
      "0.5",
      "2:4",
      "~",
      "- a",
      "a: b",
      "#",
      "'\"",
      "re:.*",
      "\u2028",
      "@",
      "%",
      "{[",
      "!x",
      "&a",
      "*a",
      "<<",
      "1_000",
      "0x10",
      "012",
      "2020-01-01",
    ),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
  )
  .filter((value) => !/[\p{Cc}\ufeff\ufffe\uffff]/u.test(value) && value.trim() !== "");

const target = fc.oneof(
  fc.constantFrom(
    "Linear",
    "lm_head",
    "model.layers.0.mlp.up_proj",
    "*.q_proj",
    "re:.*_proj$",
    "re:a\\.b|c",
  ),
  text.filter((value) => !value.startsWith("re:")),
);

const sparsity = fc
  .double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  .filter((s) => !Object.is(s, -0));
const groups = fc
  .tuple(fc.integer({ min: 1, max: 31 }), fc.integer({ min: 1, max: 31 }))
  .filter(([keep, more]) => keep + more <= 32)
  .map(([keep, more]) => `${keep}:${keep + more}`);
const method = fc.constantFrom("magnitude", "random", "wanda");
const seed = fc.integer({ min: 0, max: 0xffff_ffff });

/** Without the keys whose value is undefined. */
function present<Shape extends object>(shape: Shape): Shape {
  return Object.fromEntries(
    Object.entries(shape).filter(([, value]) => value !== undefined),
  ) as Shape;
}

const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined });

/** Settings that go together; with groups the scope stays away. */
const settings: fc.Arbitrary<LayerSettings> = fc.oneof(
  fc
    .record({ method, sparsity, scope: maybe(fc.constantFrom(...SCOPES)), seed: maybe(seed) })
    .map(({ scope, seed, ...rest }) => ({
      ...rest,
      pattern: "unstructured",
      options: present({ scope, seed }) as LayerSettings["options"],
    })),
  fc.record({ method, pattern: groups, seed: maybe(seed) }).map(({ seed, ...rest }) => ({
    ...rest,
    sparsity: patternSparsity(rest.pattern)!,
    options: present({ seed }) as LayerSettings["options"],
  })),
);

const override: fc.Arbitrary<Override> = fc
  .record({
    targets: fc.array(target, { minLength: 1, maxLength: 3 }),
    skip: fc.boolean(),
    settings: maybe(settings),
  })
  .map(({ targets, skip, settings }) => ({ options: {}, ...settings, targets, skip }));

const prune: fc.Arbitrary<PruneRecipe> = fc
  .record({
    settings,
    targets: fc.array(target, { minLength: 1, maxLength: 4 }),
    ignore: fc.array(target, { maxLength: 4 }),
    allowEmpty: fc.boolean(),
    overrides: fc.array(override, { maxLength: 3 }),
  })
  .map(({ settings, ...rest }) => ({ ...settings, ...rest }));

const convert: fc.Arbitrary<ConvertRecipe> = fc
  .record({
    to: fc.constantFrom(...TARGET_FORMATS),
    dtype: maybe(fc.constantFrom("F16" as const, "BF16" as const, "F32" as const)),
    maxShardBytes: fc.oneof(
      fc.integer({ min: 1, max: 2 ** 40 }),
      fc.constantFrom(5e9, 2 ** 30, 1e6, 2 ** 20),
    ),
    strictFinite: fc.boolean(),
  })
  .map((value) => present(value) as ConvertRecipe);

export const recipes: fc.Arbitrary<Recipe> = fc
  .record({
    name: maybe(text),
    description: maybe(fc.array(text, { maxLength: 3 }).map((lines) => lines.join("\n"))),
    model: maybe(text),
    output: maybe(text),
    prune: maybe(prune),
    convert,
  })
  .map((value) => ({ version: 1 as const, ...present(value) }) as Recipe);
