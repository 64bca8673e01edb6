/**
 * What a tensor is, from its name, its shape and config.json. General rules, stated once, instead
 * of a list of models:
 *
 *   linear   a matrix `….weight` inside a numbered block (`layers.7.`, `h.7.`, `block.7.`, …) that
 *            is none of the others; also a 3-D tensor that stacks the matrices of experts
 *   head     the output matrix, `lm_head`, `embed_out`, …
 *   router   what chooses experts: `mlp.gate`, `router`, `shared_expert_gate`
 *
 * Where a rule cannot be sure it says "other", which is never pruned. Checked against every causal
 * language model of transformers (test/model/transformers.test.ts).
 */
import type { ModelConfig } from "../core/archive.ts";
import { moduleName } from "../core/selector.ts";
import { configNumber, configText } from "./config.ts";

export const ROLES = [
  "linear",
  "embedding",
  "head",
  "norm",
  "bias",
  "router",
  "conv",
  "other",
] as const;
export type Role = (typeof ROLES)[number];

/** How a matrix is stored: rows are outputs (torch.nn.Linear) or inputs (GPT-2's Conv1D). */
export type Orientation = "out-in" | "in-out";

export interface TensorRole {
  readonly role: Role;
  /** Of the last two axes. "out-in" for what is no matrix. */
  readonly orientation: Orientation;
  /** Whether the first of three axes counts experts, each a matrix of its own. "other" with it is
   * a stack whose output axis nothing tells. */
  readonly experts3d: boolean;
  /** Number of the block that it is in. */
  readonly block?: number;
  /** For "other": why it is no linear layer. */
  readonly why?: string;
}

/** The words before a number that make a numbered block: layers.0, h.0, decoder_layers.0, … */
const BLOCK_WORD = /^(?:h|\w*(?:layers?|blocks?|groups))$/;
const BLOCK_NUMBER = /^\d{1,6}$/;

const HEAD = /^(?:embed_out|output|output_projection|score|classifier|qa_outputs)$|head/;
const EMBEDDING = /embed|^w[tp]e$|^emb$|^shared$/;
const NORM = /norm|(?:^|_)ln(?:\d|_|$)/;
const ROUTER = /^(?:\w*router\w*|shared_expert_gate)$/;

/** Models whose matrices are stored inputs × outputs (transformers' Conv1D). */
const CONV1D_MODELS = new Set(["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "jais"]);
const CONV1D_NAMES = new Set(["c_attn", "c_fc", "c_proj", "q_attn"]);

const UNKNOWN_AXES = "neither config.json nor its shape tells which axis is the output";

/** The number of the first numbered block in a name, or undefined outside blocks. */
export function blockIndex(name: string): number | undefined {
  const words = name.split(".");
  const at = words.findIndex(
    (word, index) => BLOCK_NUMBER.test(word) && index > 0 && BLOCK_WORD.test(words[index - 1]!),
  );
  return at < 0 || at === words.length - 1 ? undefined : Number(words[at]);
}

/** The role of one tensor. A pure function; `config` is config.json, or undefined. */
export function describeTensor(
  name: string,
  shape: readonly number[],
  config: ModelConfig | undefined,
): TensorRole {
  const block = blockIndex(name);
  const where = block === undefined ? {} : { block };
  const words = moduleName(name).split(".");
  const last = words.findLast((word) => !BLOCK_NUMBER.test(word)) ?? "";
  const plain = (role: Role, why?: string): TensorRole => ({
    role,
    orientation: "out-in",
    experts3d: false,
    ...where,
    ...(why === undefined ? {} : { why }),
  });

  if (/bias$/.test(last)) return plain("bias");
  if (NORM.test(last.toLowerCase())) return plain("norm");
  if (/conv/.test(last) || shape.length > 3) return plain("conv");
  if (shape.length === 3) {
    const stacked = block !== undefined && words.some((word) => /expert|moe/.test(word));
    if (!stacked) return plain("other", "it is no matrix");
    const orientation = expertOrientation(last, shape, config);
    if (orientation === undefined) {
      return { ...plain("other", UNKNOWN_AXES), experts3d: true };
    }
    return { role: "linear", orientation, experts3d: true, ...where };
  }
  if (shape.length < 2) return plain("other", "it is no matrix");
  if (isRouter(words, shape)) return plain("router");
  if (HEAD.test(last) && (block === undefined || last.includes("head"))) return plain("head");
  if (EMBEDDING.test(last)) return plain("embedding");
  if (block === undefined) return plain("other", "it is outside the blocks");
  if (!name.endsWith(".weight")) return plain("other", "it is a parameter, not a layer's weight");
  return {
    role: "linear",
    orientation: orientationOf(last, words, shape, config),
    experts3d: false,
    ...where,
  };
}

/**
 * Roles of all tensors of a model. Where the shape of one cannot prove how it is stored (a square
 * matrix), that of another of its kind may.
 */
export function describeTensors(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  config: ModelConfig | undefined,
): TensorRole[] {
  const roles = tensors.map(({ name, shape }) => describeTensor(name, shape, config));
  const conv1d = tensors.map(({ name }) => isConv1dName(name));
  const conv1dInOut = roles.some(
    ({ orientation }, index) => conv1d[index] && orientation === "in-out",
  );
  const proven = roles.find(({ role, experts3d }) => experts3d && role === "linear");
  return roles.map((role, index) => {
    if (conv1dInOut && conv1d[index] && role.role === "linear") {
      return { ...role, orientation: "in-out" };
    }
    if (role.why !== UNKNOWN_AXES || proven === undefined) return role;
    const { why: _, ...rest } = role;
    return { ...rest, role: "linear", orientation: proven.orientation };
  });
}

function isConv1dName(name: string): boolean {
  return CONV1D_NAMES.has(moduleName(name).split(".").at(-1)!);
}

/** A bare `gate` chooses experts, unless it is square: then it gates what it is as wide as. */
function isRouter(words: readonly string[], shape: readonly number[]): boolean {
  if (words.slice(-2).some((word) => ROUTER.test(word))) return true;
  const gate = words.at(-1) === "gate" || (words.at(-2) === "gate" && words.at(-1) === "wg");
  return gate && shape[0] !== shape[1];
}

function orientationOf(
  last: string,
  words: readonly string[],
  shape: readonly number[],
  config: ModelConfig | undefined,
): Orientation {
  if (!CONV1D_NAMES.has(last)) return "out-in";
  if (CONV1D_MODELS.has(configText(config, "model_type") ?? "")) return "in-out";
  const [first = 0, second = 0] = shape;
  if (last === "c_attn" && second === 3 * first) return "in-out";
  if (last === "c_fc" && second === 4 * first) return "in-out";
  return last === "c_proj" && words.at(-2) === "mlp" && first === 4 * second ? "in-out" : "out-in";
}

/** By which axis is the hidden size; undefined where both are, or neither. */
function expertOrientation(
  last: string,
  shape: readonly number[],
  config: ModelConfig | undefined,
): Orientation | undefined {
  const hidden = configNumber(config, "hidden_size");
  const [, first, second] = shape;
  if (hidden === undefined || (first === hidden) === (second === hidden)) return undefined;
  // gate and up projections read the hidden state, down projections write it
  const reads = !/down|output|w2|fc2/.test(last);
  return (second === hidden) === reads ? "out-in" : "in-out";
}
