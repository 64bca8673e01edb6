import { describe, expect, it } from "vitest";
import { importRecipe } from "../../../src/pipeline/recipe/index.ts";

const read = (text: string) => importRecipe(new TextEncoder().encode(text), "recipe.yaml");

describe("recipes of llm-compressor", () => {
  it("SparseGPT on blocks becomes SparseGPT on all their linear layers", () => {
    const { recipe, unmapped } = read(`
test_stage:
  obcq_modifiers:
    SparseGPTModifier:
      sparsity: 0.5
      block_size: 64
      sequential_update: true
      quantize: false
      percdamp: 0.02
      mask_structure: '2:4'
      targets: ['re:model.layers.\\d*$']
      ignore: ['re:.*lm_head']
`);
    expect(unmapped).toEqual([]);
    expect(recipe.calibration).toMatchObject({ mode: "sequential" });
    expect(recipe.prune).toMatchObject({
      ...{ method: "sparsegpt", pattern: "2:4", sparsity: 0.5 },
      options: { block_size: 64, damping: 0.02 },
      ...{ targets: ["re:model.layers.\\d+\\."], ignore: ["re:.*lm_head"] },
    });
  });

  it("keeps what is left of a pattern that names what is dropped", () => {
    const { recipe } = read(
      "s_stage: { m_modifiers: { WandaPruningModifier: { sparsity: 0.25, mask_structure: '1:4' } } }",
    );
    expect(recipe.prune).toMatchObject({ method: "wanda", pattern: "3:4", sparsity: 0.25 });
  });

  it("maps OWL, magnitude, and a second modifier to an override; lists the rest", () => {
    const { recipe, unmapped } = read(`
sparsity_stage:
  sparsity_modifiers:
    WandaPruningModifier: { sparsity: 0.6, sparsity_profile: owl, owl_m: 4, owl_lmbda: 0.1, mask_structure: '0:0', preserve_sparsity_mask: true }
    MagnitudePruningModifier: { final_sparsity: 0.3, init_sparsity: 0.0, targets: ['re:.*down_proj'], update_scheduler: cubic }
quantization_stage:
  quantization_modifiers:
    GPTQModifier: { scheme: W4A16 }
`);
    expect(recipe.prune).toMatchObject({
      ...{ method: "wanda", sparsity: 0.6, pattern: "unstructured" },
      options: { allocation: "owl", outlier_ratio: 4, outlier_range: 0.1 },
      overrides: [{ targets: ["re:.*down_proj"], method: "magnitude", sparsity: 0.3 }],
    });
    expect(unmapped).toEqual([
      "WandaPruningModifier.preserve_sparsity_mask: no counterpart",
      "MagnitudePruningModifier.init_sparsity: no counterpart",
      "MagnitudePruningModifier.update_scheduler: no counterpart",
      "GPTQModifier: no counterpart",
    ]);
  });

  it("lists whatever it does not map, null and false too", () => {
    const { recipe, unmapped } = read(`
version: 1
test_stage:
  run_type: oneshot
  pruning_modifiers:
    SparseGPTModifier:
      sparsity: 0.5
      mask_structure: null
      sequential_update: false
      sequential_targets: [LlamaDecoderLayer]
      quantize: true
      offload_hessians: false
      start: 0.0
      end: null
      initialized_: true
    WandaPruningModifier:
      targets: [down_proj]
      ignore: ['re:.*0.*']
      sequential_update: true
`);
    expect(recipe.calibration).toMatchObject({ mode: "one-pass" });
    expect(recipe.prune).toMatchObject({ sparsity: 0.5, pattern: "unstructured" });
    expect(unmapped).toEqual([
      "version: no counterpart",
      "run_type: no counterpart",
      "SparseGPTModifier.sequential_targets: no counterpart",
      "SparseGPTModifier.quantize: no counterpart",
      "SparseGPTModifier.offload_hessians (false): no counterpart",
      "SparseGPTModifier.start: no counterpart",
      "SparseGPTModifier.end (null): no counterpart",
      "SparseGPTModifier.initialized_: no counterpart",
      "ignore of the second modifier (re:.*0.*): no counterpart",
      "sequential_update of later modifiers: a recipe has one, here one-pass",
    ]);
  });

  it("lists a sparsity that the mask structure does not have, and no structure at all is none", () => {
    const { recipe, unmapped } = read(`
SparseGPTModifier: { sparsity: 0.7, mask_structure: '2:4' }
MagnitudePruningModifier: { final_sparsity: 0.6, mask_structure: unstructured, targets: [down_proj] }
`);
    expect(recipe.prune).toMatchObject({
      ...{ pattern: "2:4", sparsity: 0.5 },
      overrides: [{ method: "magnitude", pattern: "unstructured", sparsity: 0.6 }],
    });
    expect(unmapped).toEqual([
      "SparseGPTModifier sparsity 0.7: its mask_structure says another, and counts",
    ]);
  });

  it("says what is wrong in the words of recipes, and what was left out", () => {
    expect(() => read("WandaPruningModifier: { sparsity: 7 }")).toThrow(
      /recipe\.yaml, as imported:\d+:\d+: sparsity is 7, expected a fraction/,
    );
    expect(() => read("WandaPruningModifier: { sparsity: [0.5, 0.6] }")).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('key "sparsity" is missing'),
        detail: expect.objectContaining({
          hint: "what was left out: WandaPruningModifier.sparsity: no counterpart",
        }),
      }),
    );
  });

  it.each([
    ["a: 1", "E_RECIPE_VALUE"],
    ["q_stage: { q_modifiers: { GPTQModifier: { scheme: W4A16 } } }", "E_RECIPE_VALUE"],
    ["s_stage: { m_modifiers: { WandaPruningModifier: { sparsity: 7 } } }", "E_RECIPE_VALUE"],
    ["s_stage: { run_type: !!python/object/apply:a.b [oneshot] }", "E_RECIPE_ALIAS"],
  ])("refuses %s", (text, code) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code }));
  });
});
