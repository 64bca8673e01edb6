/** What config.json says about a checkpoint as a whole: quantised or not, tied or not. */
import type { ModelConfig } from "../core/archive.ts";
import { isRecord } from "../core/guards.ts";
import { printable } from "../core/text.ts";
import { textConfig } from "./config.ts";
import { describeTensor, type TensorRole } from "./roles.ts";

/** Our own name in `quant_method`; packed by us is not quantised. */
const OWN_METHOD = "spinfer";

/**
 * The method by which the weights are already quantised ("gptq, 4 bits"), or undefined. Such
 * weights are codes: pruning them by size would be nonsense.
 */
export function isQuantizedConfig(config: ModelConfig | undefined): string | undefined {
  if (config === undefined) return undefined;
  for (const part of [config, textConfig(config)]) {
    for (const key of ["quantization_config", "compression_config"]) {
      const found = part[key];
      if (!isRecord(found) || Object.keys(found).length === 0) continue;
      const method = methodOf(found);
      if (method !== OWN_METHOD) return describeMethod(method, found);
    }
  }
  return undefined;
}

function methodOf(settings: Record<string, unknown>): string {
  const method = settings["quant_method"];
  if (typeof method === "string" && method !== "") return printable(method.toLowerCase(), 60);
  // bitsandbytes of 2023 wrote no method
  if (settings["load_in_4bit"] === true || settings["load_in_8bit"] === true) return "bitsandbytes";
  return "an unnamed method";
}

function describeMethod(method: string, settings: Record<string, unknown>): string {
  const bits = settings["bits"] ?? settings["w_bit"];
  if (typeof bits === "number") return `${method}, ${bits} bits`;
  if (settings["load_in_4bit"] === true) return `${method}, 4 bits`;
  return settings["load_in_8bit"] === true ? `${method}, 8 bits` : method;
}

export interface TiedEmbeddings {
  /** Whether the output matrix is the input embedding. */
  readonly tied: boolean;
  /** Name of the stored output matrix, if there is one. */
  readonly head?: string;
  /** A sentence for tables and hints. */
  readonly note: string;
}

/**
 * Whether the model's head is its embedding: what config.json says, else whether a head is stored.
 * A tied head that is stored all the same is a copy, which nothing may change on its own.
 */
export function tiedEmbeddings(
  config: ModelConfig | undefined,
  tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    /** Where it is known already. */
    readonly role?: TensorRole;
  }[],
): TiedEmbeddings {
  const head = tensors.find(
    ({ name, shape, role }) => (role ?? describeTensor(name, shape, config)).role === "head",
  )?.name;
  const said = textConfig(config)["tie_word_embeddings"] ?? config?.["tie_word_embeddings"];
  const tied = typeof said === "boolean" ? said : head === undefined;
  const stored = head === undefined ? {} : { head };
  if (!tied) return { tied, ...stored, note: "the output matrix is a tensor of its own" };
  const copy = head === undefined ? "" : `; ${printable(head)} is a copy of it`;
  return { tied, ...stored, note: `the output matrix is the input embedding${copy}` };
}
