/** An opened checkpoint, made ready to run on an engine. */
import type { RunnableModel } from "../engine/engine.ts";
import { type EngineChoice, openRunnable } from "../engine/index.ts";
import type { OpenedModel } from "./openModel.ts";
import { weightSource } from "./weightSource.ts";

export interface RunModelOptions {
  /** Absent: the fastest that can be loaded. */
  readonly engine?: EngineChoice | undefined;
  readonly threads?: number | undefined;
}

/** Throws what the engine throws: E_CONFIG, E_ARCH_*, E_ENGINE_MISSING. */
export async function runModel(
  model: OpenedModel,
  { engine, threads }: RunModelOptions,
  onWarning: (message: string) => void,
): Promise<RunnableModel> {
  const options = { prefer: engine, threads, onWarning };
  return await openRunnable(model.archive.config, weightSource(model), options);
}
