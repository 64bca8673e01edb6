/** Which blocks see a window of positions only, and how many it holds. */
import type { Settings } from "./settings.ts";

/** Positions that a token of a block sees, itself among them; undefined: all before it. */
export type Windows = (block: number) => number | undefined;

const KINDS = ["full_attention", "sliding_attention"] as const;

/** What configs that leave the key out mean in all of these families; null means no window. */
const USUAL_SIZE = 4096;

/** Positions in a window; undefined where there is none. */
export function windowSize(settings: Settings): number | undefined {
  if (!settings.states("sliding_window")) return USUAL_SIZE;
  return settings.value("sliding_window") === undefined
    ? undefined
    : settings.count("sliding_window");
}

/**
 * From layer_types, or from the family's own rule where config.json has no such list.
 * Throws E_ARCH_OPTION for a kind of layer that is not implemented.
 */
export function readWindows(settings: Settings, slides: (block: number) => boolean): Windows {
  const size = windowSize(settings);
  const kinds = readKinds(settings);
  if (size === undefined) return () => undefined;
  return (block) => ((kinds?.[block] ?? slides(block)) ? size : undefined);
}

/** Of each block, whether it slides; undefined where config.json does not say. */
export function readKinds(settings: Settings): readonly boolean[] | undefined {
  const kinds = settings.value("layer_types");
  if (kinds === undefined) return undefined;
  const blocks = settings.count("num_hidden_layers");
  if (!Array.isArray(kinds) || kinds.length < blocks) {
    throw settings.wrong("layer_types", "too short or no list", `a list of ${blocks} texts`);
  }
  return kinds.map((kind) => settings.oneOf("layer_types", String(kind), KINDS) === KINDS[1]);
}
