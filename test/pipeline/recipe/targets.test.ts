import { describe, expect, it } from "vitest";
import type { ModelConfig } from "../../../src/core/archive.ts";
import { describeTensors } from "../../../src/model/index.ts";
import { chooseTensors, type PruneRecipe, readRecipe } from "../../../src/pipeline/recipe/index.ts";
import { processorMs } from "../../helpers/processorTime.ts";

const CONFIG = { model_type: "llama", hidden_size: 64, tie_word_embeddings: false };

/** A Llama of two blocks. */
const LLAMA: [string, number[]][] = [
  ["model.embed_tokens.weight", [100, 64]],
  ["model.norm.weight", [64]],
  ["lm_head.weight", [100, 64]],
  ...[0, 1].flatMap((block): [string, number[]][] => [
    [`model.layers.${block}.input_layernorm.weight`, [64]],
    [`model.layers.${block}.self_attn.q_proj.weight`, [64, 64]],
    [`model.layers.${block}.self_attn.k_proj.weight`, [32, 64]],
    [`model.layers.${block}.mlp.up_proj.weight`, [96, 64]],
    [`model.layers.${block}.mlp.down_proj.weight`, [64, 96]],
  ]),
];

const pruning = (text: string): PruneRecipe =>
  readRecipe(`version: 1\nprune:\n  sparsity: 0.5\n${text.replaceAll(/^(?=.)/gm, "  ")}\n`, "r")
    .prune!;

/** What happens to each tensor: "0.5", "1:4", or why it is kept. */
function choices(text: string, model = LLAMA, config: ModelConfig | undefined = CONFIG) {
  const tensors = model.map(([name, shape]) => ({ name, shape }));
  const roles = describeTensors(tensors, config);
  const chosen = chooseTensors(
    pruning(text),
    tensors.map((tensor, index) => ({ ...tensor, role: roles[index]! })),
    config,
  );
  return Object.fromEntries(
    chosen.map((choice, index) => [
      shortName(tensors[index]!.name),
      choice.kind === "keep"
        ? choice.reason
        : choice.settings.pattern === "unstructured"
          ? choice.settings.sparsity
          : choice.settings.pattern,
    ]),
  );
}

/** "model.layers.0.mlp.up_proj.weight" → "0.up_proj". */
function shortName(name: string): string {
  return name.replace(/\.weight$/, "").replaceAll(/model\.|layers\.|self_attn\.|mlp\./g, "");
}

/** The error of a recipe that cannot be applied. */
function errorOf(text: string, model = LLAMA, config: ModelConfig = CONFIG) {
  try {
    choices(text, model, config);
  } catch (thrown) {
    return thrown as { code: string; message: string; detail: { found?: string; hint?: string } };
  }
  throw new Error("the recipe was applied");
}

describe("chooseTensors", () => {
  it("prunes the linear layers of the blocks and says why the rest is kept", () => {
    expect(choices("")).toEqual({
      embed_tokens: "an embedding",
      norm: "a norm",
      lm_head: "the output head",
      "0.input_layernorm": "a norm",
      "0.q_proj": 0.5,
      "0.k_proj": 0.5,
      "0.up_proj": 0.5,
      "0.down_proj": 0.5,
      "1.input_layernorm": "a norm",
      "1.q_proj": 0.5,
      "1.k_proj": 0.5,
      "1.up_proj": 0.5,
      "1.down_proj": 0.5,
    });
  });

  it("leaves what is ignored or not targeted", () => {
    const chosen = choices('targets: ["re:.*_proj"]\nignore: [k_proj, "*.1.*"]');
    expect(chosen).toMatchObject({ "0.q_proj": 0.5, "0.k_proj": "ignored", "1.q_proj": "ignored" });
    expect(choices("targets: [q_proj]")).toMatchObject({
      "0.q_proj": 0.5,
      "0.k_proj": "no target matches it",
    });
  });

  it("never takes embeddings, norms and the head by a pattern that matches everything", () => {
    for (const all of ['["*"]', '["re:.*"]', "[Linear]"]) {
      expect(choices(`targets: ${all}`)).toMatchObject({
        embed_tokens: "an embedding",
        norm: "a norm",
        lm_head: "the output head",
        "0.q_proj": 0.5,
      });
    }
  });

  it("takes the head where it is named", () => {
    expect(choices("targets: [Linear, lm_head]")).toMatchObject({ lm_head: 0.5, "0.q_proj": 0.5 });
    expect(choices("targets: [lm_head.weight]")).toMatchObject({
      lm_head: 0.5,
      "0.q_proj": "no target matches it",
    });
    expect(choices("targets: [lm_head, Linear]\nignore: [lm_head]")["lm_head"]).toBe("ignored");
  });

  it("SH-13 never prunes a head that is tied to the embedding", () => {
    const tied = { ...CONFIG, tie_word_embeddings: true };
    expect(choices("", LLAMA, tied)["lm_head"]).toBe("the output head, tied to the embedding");
    expect(errorOf("targets: [Linear, lm_head]", LLAMA, tied)).toMatchObject({
      code: "E_NO_TARGET",
      message: 'target "lm_head": no tensor that can be pruned matches',
      detail: {
        found: "lm_head.weight, which is the output head, tied to the embedding",
        hint: "the output head is the input embedding; it is kept",
      },
    });
    const absent = LLAMA.filter(([name]) => name !== "lm_head.weight");
    expect(errorOf("targets: [Linear, lm_head]", absent, {}).detail.hint).toBe(
      "the output head is the input embedding; it is kept",
    );
  });

  it("applies overrides in order, the later one wins", () => {
    const chosen = choices(`overrides:
  - {targets: ["*.down_proj", k_proj], sparsity: 0.25}
  - {targets: ["*.1.*"], sparsity: 0.75}
  - {targets: [k_proj], pattern: 1:4}
  - {targets: [up_proj], skip: true}
  - {targets: ["model.layers.1.mlp.up_proj"], skip: false}`);
    expect(chosen).toMatchObject({
      "0.q_proj": 0.5,
      "0.k_proj": "1:4",
      "0.up_proj": "an override skips it",
      "0.down_proj": 0.25,
      "1.q_proj": 0.75,
      "1.k_proj": "1:4",
      "1.up_proj": 0.75,
      "1.down_proj": 0.75,
    });
  });

  it("merges the method's options one by one", () => {
    const tensors = [{ name: "layers.0.q_proj.weight", shape: [4, 4] }];
    const [role] = describeTensors(tensors, {});
    const recipe = pruning(
      "scope: row\nseed: 1\noverrides: [{targets: [q_proj], seed: 2, method: random}]",
    );
    expect(chooseTensors(recipe, [{ ...tensors[0]!, role: role! }], {})).toEqual([
      {
        kind: "prune",
        settings: {
          method: "random",
          sparsity: 0.5,
          pattern: "unstructured",
          options: { scope: "row", seed: 2 },
        },
      },
    ]);
  });

  it("refuses overrides that contradict each other on a tensor", () => {
    const { code, message } = errorOf(
      "overrides: [{targets: [q_proj], pattern: 2:4}, {targets: ['*.0.*'], sparsity: 0.3}]",
    );
    expect(code).toBe("E_RECIPE_VALUE");
    expect(message).toContain(
      "overrides of model.layers.0.self_attn.q_proj.weight: sparsity 0.3 does not go with pattern 2:4",
    );
  });

  it("YA-08 refuses a target that matches nothing, and names the nearest", () => {
    expect(errorOf("targets: [Linear, down_prj]")).toMatchObject({
      code: "E_NO_TARGET",
      message: 'target "down_prj": no tensor that can be pruned matches',
      detail: { hint: expect.stringContaining('did you mean "down_proj"?') },
    });
    expect(errorOf('targets: ["re:layers", "*.7.*"]').message).toBe(
      'targets "re:layers", "*.7.*": no tensor that can be pruned matches',
    );
  });

  it("YA-08 says what a target matches when that is never pruned", () => {
    expect(errorOf("targets: [embed_tokens]").detail.found).toBe(
      "model.embed_tokens.weight, which is an embedding",
    );
    expect(errorOf("targets: ['re:.*norm']").detail.found).toBe(
      "model.norm.weight, which is a norm",
    );
  });

  it("YA-08 holds the targets of overrides to the same rule", () => {
    expect(errorOf("overrides: [{targets: [gate_proj], skip: true}]").message).toContain(
      '"gate_proj"',
    );
  });

  it("YA-08 accepts them with allow_empty", () => {
    const chosen = choices(
      "allow_empty: true\ntargets: [q_proj, nothing]\noverrides: [{targets: [gate_proj], skip: true}]",
    );
    expect(chosen["0.q_proj"]).toBe(0.5);
  });

  it("YA-08 does not mind what is ignored and not there", () => {
    expect(choices("ignore: [gate_proj]")["0.q_proj"]).toBe(0.5);
  });

  it("YA-08 refuses a model without linear layers", () => {
    expect(errorOf("", [["fc1.weight", [8, 8]]]).message).toContain('target "Linear"');
  });

  it("PA-07 chooses among 200,000 tensors in seconds", () => {
    const model = Array.from({ length: 200_000 }, (_, i): [string, number[]] => [
      `model.layers.${i % 100}.mlp.experts.${i}.down_proj.weight`,
      [64, 96],
    ]);
    const overrides = Array.from(
      { length: 10 },
      (_, i) => `{targets: ["*.${i}.*"], sparsity: 0.${i}1}`,
    );
    let chosen: Record<string, unknown> = {};
    const ms = processorMs(() => {
      chosen = choices(
        `targets: ["re:.*_proj"]\nignore: ["re:.*\\\\.77\\\\..*", lm_head]\noverrides: [${overrides.join(", ")}]`,
        model,
      );
    });
    expect(ms).toBeLessThan(5000);
    expect(chosen["5.experts.105.down_proj"]).toBe(0.51);
    expect(chosen["77.experts.77.down_proj"]).toBe("ignored");
  });
});
