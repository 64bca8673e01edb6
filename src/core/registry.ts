/** A written list of plug-ins, by name. */
import type { ErrorCode } from "./errorCodes.ts";
import { SpInferError } from "./errors.ts";
import { nearest } from "./text.ts";

export interface Registry<Item extends { readonly name: string }> {
  readonly all: readonly Item[];
  readonly names: readonly string[];
  /** Throws the registry's own code, with the nearest name or `advice`, when there is none. */
  get(name: string): Item;
}

export function createRegistry<Item extends { readonly name: string }>(
  kind: string,
  unknownCode: ErrorCode,
  items: readonly Item[],
  advice?: string,
): Registry<Item> {
  const byName = new Map(items.map((item) => [item.name, item]));
  if (byName.size !== items.length) throw new Error(`two ${kind}s have the same name`);
  const names = [...byName.keys()];
  return {
    all: items,
    names,
    get(name) {
      const item = byName.get(name);
      if (item !== undefined) return item;
      const close = advice === undefined ? nearest(name, names) : undefined;
      throw new SpInferError(unknownCode, `there is no ${kind} "${name}"`, {
        expected: names.join(", "),
        hint: close === undefined ? advice : `did you mean "${close}"?`,
      });
    },
  };
}
