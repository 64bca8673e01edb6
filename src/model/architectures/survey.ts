/** The weights of a part, found by letting its ops run over nothing. */
import type { Ops, Part } from "./ops.ts";

export interface WeightSlot {
  /** As the ops name it; the checkpoint's name begins with the part's prefix. */
  readonly name: string;
  readonly shape: readonly number[];
  /** A matrix of a linear layer, whose inputs can be observed. */
  readonly linear: boolean;
}

export function weightsOf(part: Part): WeightSlot[] {
  const slots = new Map<string, WeightSlot>();
  const add = (name: string | undefined, shape: readonly number[], linear = false): null => {
    if (name !== undefined) slots.set(name, { name, shape, linear });
    return null;
  };
  const nothing = () => null;
  const ops: Ops<null> = {
    embedding: (_, { weight, rows, columns }) => add(weight, [rows, columns]),
    positions: ({ weight, rows, columns }) => add(weight, [rows, columns]),
    linear: (_, { weight, bias, inputs, outputs, layout }) => {
      add(weight, layout === "in-out" ? [inputs, outputs] : [outputs, inputs], true);
      return add(bias, [outputs]);
    },
    rmsNorm: (_, { weight, size }) => add(weight, [size]),
    layerNorm: (_, { weight, bias, size }) => {
      add(weight, [size]);
      return add(bias, [size]);
    },
    rotary: nothing,
    attention: nothing,
    activate: nothing,
    add: nothing,
    multiply: nothing,
    scale: nothing,
    softcap: nothing,
    columns: nothing,
  };
  part.body(ops, null);
  return [...slots.values()];
}
