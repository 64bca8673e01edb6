/** The list of pruners; the one file that knows them all. */
import { createRegistry, type Registry } from "../src/core/registry.ts";
import type { Pruner } from "./definePruner.ts";
import { dsnot } from "./dsnot.ts";
import { magnitude } from "./magnitude.ts";
import { random } from "./random.ts";
import { ria } from "./ria.ts";
import { sparsegpt } from "./sparsegpt.ts";
import { tileBalanced } from "./tileBalanced.ts";
import { wanda } from "./wanda.ts";

export const pruners: Registry<Pruner> = createRegistry("pruning method", "E_PRUNER_UNKNOWN", [
  magnitude,
  random,
  wanda,
  ria,
  sparsegpt,
  dsnot,
  tileBalanced,
]);
