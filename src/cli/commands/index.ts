/** What the commands do, loaded when one runs, so that a start stays short. */
import { SpInferError } from "../../core/errors.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";

export type Command = (invocation: Invocation) => Promise<Outcome>;

/** By name; a test holds them to the table of commands. */
export const LOADERS: Readonly<Record<string, () => Promise<Command>>> = {
  inspect: async () => (await import("./inspect.ts")).inspect,
  plan: async () => (await import("./prune.ts")).plan,
  prune: async () => (await import("./prune.ts")).prune,
  calibrate: async () => (await import("./calibrate.ts")).calibrate,
  convert: async () => (await import("./convert.ts")).convert,
  verify: async () => (await import("./verify.ts")).verify,
  eval: async () => (await import("./eval.ts")).evaluate,
  sweep: async () => (await import("./sweep.ts")).sweep,
  report: async () => (await import("./report.ts")).report,
  run: async () => (await import("./prune.ts")).run,
  "bench kernels": async () => (await import("./bench.ts")).benchKernelsCommand,
  tune: async () => (await import("./tune.ts")).tune,
  "recipe init": async () => (await import("./recipe.ts")).recipeInit,
  "recipe import": async () => (await import("./recipe.ts")).recipeImport,
  "recipe validate": async () => (await import("./recipe.ts")).recipeValidate,
  "recipe show": async () => (await import("./recipe.ts")).recipeShow,
  doctor: async () => (await import("./doctor.ts")).doctor,
  help: async () => (await import("./help.ts")).help,
  version: async () => (await import("./version.ts")).version,
  completion: async () => (await import("./completion.ts")).completion,
};

export async function loadCommand(name: string): Promise<Command> {
  const load = LOADERS[name];
  if (load === undefined) throw new SpInferError("E_INTERNAL", `no code for command ${name}`);
  return await load();
}
