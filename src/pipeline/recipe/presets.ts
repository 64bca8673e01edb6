/** Recipes to begin with, for `recipe init`. Every one is a whole, commented, valid recipe. */
import { SpInferError } from "../../core/errors.ts";
import { nearest } from "../../core/text.ts";

export const PRESETS = ["magnitude-50", "magnitude-60", "two-four", "convert"] as const;
export type Preset = (typeof PRESETS)[number];

/** The text of a preset. Throws E_OPTION when there is none of that name. */
export function defaultRecipeYaml(preset: string): string {
  const found = PRESETS.find((name) => name === preset);
  if (found === undefined) {
    const close = nearest(preset, PRESETS);
    throw new SpInferError("E_OPTION", `there is no preset "${preset}"`, {
      expected: PRESETS.join(", "),
      hint: close === undefined ? undefined : `did you mean "${close}"?`,
    });
  }
  return `${HEAD}${PRUNE[found]}${CONVERT}`;
}

const HEAD = `# A recipe for SpInfer: run it with \`spinfer run recipe.yaml\`.
# Every key and its default: docs/recipe.md
version: 1

# Folder, file, or org/name in the local Hugging Face cache; may come from the command line instead.
# model: ./my-model
# output: ./my-model-sparse
`;

const which = (
  change: string,
): string => `  # which matrices: names, globs (* and ?), "re:" regular expressions; Linear is every linear layer
  # of the blocks. Embeddings, norms, biases and routers are kept, and the head unless named.
  targets: [Linear]
  ignore: []
  # other settings for some of them; a later override wins
  # overrides:
  #   - targets: ["re:.*down_proj"]
  #     ${change}
  #   - targets: ["model.layers.0.*"]
  #     skip: true
`;

const magnitude = (sparsity: number): string => `
prune:
  method: magnitude # drops the weights nearest to zero
  sparsity: ${sparsity} # the fraction that becomes zero
  scope: matrix # one threshold for each matrix; or row, or model
${which("sparsity: 0.4")}`;

const PRUNE: Readonly<Record<Preset, string>> = {
  "magnitude-50": magnitude(0.5),
  "magnitude-60": magnitude(0.6),
  "two-four": `
prune:
  method: magnitude # drops the weights nearest to zero
  pattern: "2:4" # keeps 2 of every 4 consecutive inputs, which is sparsity 0.5
${which('pattern: "3:4"')}`,
  convert: `
# no prune section: the weights stay as they are
`,
};

const CONVERT = `
convert:
  to: tile-bitmap # or dense: the same zeros in a file that every runtime loads
  # dtype: f16 # f16, bf16 or f32; the source's own when absent
  max_shard_size: 5GB
  strict_finite: false # true refuses NaN and infinity instead of keeping and reporting them
`;
