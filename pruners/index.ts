/** The list of pruners; the one file that knows them all. */
import { createRegistry, type Registry } from "../src/core/registry.ts";
import type { Pruner } from "./definePruner.ts";
import { magnitude } from "./magnitude.ts";
import { random } from "./random.ts";

export const pruners: Registry<Pruner> = createRegistry("pruning method", "E_PRUNER_UNKNOWN", [
  magnitude,
  random,
]);
