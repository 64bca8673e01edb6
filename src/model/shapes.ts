/**
 * Whether config.json and the tensors tell of the same model. Only sizes that a loader would
 * refuse too are checked, and only for families whose config keys are known here.
 */
import type { ModelConfig, TensorEntry } from "../core/archive.ts";
import { SpInferError } from "../core/errors.ts";
import { moduleName } from "../core/selector.ts";
import { configNumber } from "./config.ts";
import { blockIndex } from "./roles.ts";

/** Sizes by their names in the tables below; absent where config.json does not tell. */
type Sizes = Readonly<
  Record<string, { readonly value: number; readonly says: string } | undefined>
>;
type Rule = readonly [module: RegExp, rows: string, cols: string];

/** Llama and what is built like it. */
const LLAMA_RULES: readonly Rule[] = [
  [/^(?:model\.)?embed_tokens$/, "vocab", "hidden"],
  [/\.self_attn\.q_proj$/, "queries", "hidden"],
  [/\.self_attn\.[kv]_proj$/, "keys", "hidden"],
  [/\.self_attn\.o_proj$/, "hidden", "queries"],
  [/\.mlp\.(?:gate|up)_proj$/, "inner", "hidden"],
  [/\.mlp\.down_proj$/, "hidden", "inner"],
  [/^lm_head$/, "vocab", "hidden"],
];

const GPT2_RULES: readonly Rule[] = [
  [/^(?:transformer\.)?wte$/, "vocab", "hidden"],
  [/\.attn\.c_attn$/, "hidden", "three"],
  [/\.attn\.c_proj$/, "hidden", "hidden"],
  [/\.mlp\.c_fc$/, "hidden", "inner"],
  [/\.mlp\.c_proj$/, "inner", "hidden"],
];

const NEOX_RULES: readonly Rule[] = [
  [/^(?:gpt_neox\.)?embed_in$/, "vocab", "hidden"],
  [/\.attention\.query_key_value$/, "three", "hidden"],
  [/\.attention\.dense$/, "hidden", "hidden"],
  [/\.mlp\.dense_h_to_4h$/, "inner", "hidden"],
  [/\.mlp\.dense_4h_to_h$/, "hidden", "inner"],
  [/^embed_out$/, "vocab", "hidden"],
];

const OPT_RULES: readonly Rule[] = [
  [/\.self_attn\.(?:[qkv]|out)_proj$/, "hidden", "hidden"],
  [/\.fc1$/, "inner", "hidden"],
  [/\.fc2$/, "hidden", "inner"],
];

const FAMILIES: ReadonlyMap<unknown, readonly Rule[]> = new Map([
  ...[
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "phi",
    "phi3",
    "starcoder2",
    "olmo",
    "olmo2",
    "granite",
    "stablelm",
  ].map((type) => [type, LLAMA_RULES] as const),
  ["gpt2", GPT2_RULES],
  ["gpt_neox", NEOX_RULES],
  ["opt", OPT_RULES],
]);

/** Families whose heads are not hidden size / heads wide where config.json does not say. */
const OWN_HEAD_SIZE = new Set<unknown>(["gemma", "gemma2", "qwen3"]);

/** Families that share no keys and values between heads where config.json does not say. */
const UNSHARED_KEYS = new Set<unknown>(["llama", "olmo", "phi", "opt"]);

/** Throws E_ARCH_SHAPE for the first tensor, of the first block or outside blocks, that disagrees. */
export function checkConfigShapes(
  config: ModelConfig | undefined,
  entries: readonly Pick<TensorEntry, "name" | "shape">[],
): void {
  const rules = FAMILIES.get(config?.["model_type"]);
  if (config === undefined || rules === undefined) return;
  const sizes = sizesOf(config);
  let blocks = 0;
  for (const { name, shape } of entries) {
    const block = blockIndex(name);
    if (block !== undefined) blocks = Math.max(blocks, block + 1);
    if ((block ?? 0) > 0 || shape.length !== 2 || !name.endsWith(".weight")) continue;
    const rule = rules.find(([module]) => module.test(moduleName(name)));
    if (rule === undefined) continue;
    checkAxis(name, shape, 0, sizes[rule[1]]);
    checkAxis(name, shape, 1, sizes[rule[2]]);
  }
  checkBlocks(config, blocks);
}

function sizesOf(config: ModelConfig): Sizes {
  const from = (...keys: string[]): Sizes[string] => {
    const key = keys.find((candidate) => configNumber(config, candidate) !== undefined);
    return key === undefined
      ? undefined
      : { value: configNumber(config, key)!, says: `${key} ${configNumber(config, key)}` };
  };
  const times = (size: Sizes[string], factor: number, why: string): Sizes[string] =>
    size === undefined ? undefined : { value: size.value * factor, says: `${why}${size.says}` };

  const type = config["model_type"];
  const hidden = from("hidden_size", "n_embd");
  const heads = from("num_attention_heads", "n_head");
  const keyHeads = from("num_key_value_heads") ?? (UNSHARED_KEYS.has(type) ? heads : undefined);
  const share = hidden && heads ? hidden.value / heads.value : Number.NaN;
  const headSize = from("head_dim")?.value ?? (OWN_HEAD_SIZE.has(type) ? Number.NaN : share);
  const whole = Number.isSafeInteger(headSize);
  return {
    vocab: from("vocab_size"),
    hidden,
    three: times(hidden, 3, "3 × "),
    inner:
      from("intermediate_size", "ffn_dim", "n_inner") ??
      (type === "gpt2" ? times(hidden, 4, "4 × ") : undefined),
    queries: whole ? times(heads, headSize, `${headSize} × `) : undefined,
    keys: whole ? times(keyHeads, headSize, `${headSize} × `) : undefined,
  };
}

function checkAxis(name: string, shape: readonly number[], axis: 0 | 1, size: Sizes[string]): void {
  if (size === undefined || shape[axis] === size.value) return;
  throw new SpInferError(
    "E_ARCH_SHAPE",
    `config.json: ${name} has ${shape[axis]} ${axis === 0 ? "rows" : "columns"}, expected ${size.value}`,
    {
      tensor: name,
      found: `shape [${shape.join(", ")}]`,
      expected: `${size.value} by ${size.says}`,
      hint: "the config.json of another model, or an edited one; take the one that belongs to these weights",
    },
  );
}

function checkBlocks(config: ModelConfig, blocks: number): void {
  const layers = configNumber(config, "num_hidden_layers") ?? configNumber(config, "n_layer");
  if (layers === undefined || blocks === 0 || blocks >= layers) return;
  throw new SpInferError(
    "E_ARCH_SHAPE",
    `config.json: the checkpoint has ${blocks} blocks, expected ${layers}`,
    {
      expected: `num_hidden_layers ${layers}`,
      hint: "the config.json of another model, or a checkpoint that is not whole",
    },
  );
}
