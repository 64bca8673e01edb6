/** What an architecture is: a reader of config.json that gives the parts of the model as ops. */
import type { Part } from "./ops.ts";
import type { Settings } from "./settings.ts";

/** The sizes that all families have; every tensor inside is [tokens, hidden]. */
export interface Decoder {
  readonly blocks: number;
  readonly hidden: number;
  readonly vocabulary: number;
  /** max_position_embeddings. */
  readonly positions: number;
  /** Whether positions are rows of a table, so that longer windows cannot be run at all. */
  readonly positionTable: boolean;
  /** Token ids → hidden states. */
  readonly embed: Part;
  /** Hidden states → hidden states. Blocks whose ops are the same share what is made of them. */
  block(index: number): Part;
  /** Hidden states → logits. */
  readonly head: Part;
}

/** Which tensors the checkpoint has: names differ a little between those who wrote it. */
export interface TensorNames {
  has(name: string): boolean;
}

export interface Architecture {
  /** model_type of config.json. */
  readonly name: string;
  /** Throws E_ARCH_OPTION for what is not implemented and E_CONFIG for values that make no sense. */
  readonly read: (settings: Settings, names: TensorNames) => Decoder;
}

/** Identity; checks the type and freezes. */
export function defineArchitecture(architecture: Architecture): Architecture {
  return Object.freeze(architecture);
}
