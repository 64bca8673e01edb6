/** The architectures that can be run, and how one is chosen. */
import type { ModelConfig } from "../../core/archive.ts";
import { SpInferError } from "../../core/errors.ts";
import { createRegistry } from "../../core/registry.ts";
import { isQuantizedConfig } from "../checkpoint.ts";
import { textConfig } from "../config.ts";
import type { Decoder, TensorNames } from "./defineArchitecture.ts";
import { gemma, gemma2, gemma3 } from "./gemma.ts";
import { gpt2 } from "./gpt2.ts";
import { gptNeox } from "./gptNeox.ts";
import { llama, mistral, qwen2, qwen3 } from "./llama.ts";
import { opt } from "./opt.ts";
import { phi3 } from "./phi3.ts";
import { Settings } from "./settings.ts";

export const architectures = createRegistry(
  "architecture that can be run",
  "E_ARCH_UNKNOWN",
  [llama, mistral, qwen2, qwen3, gpt2, opt, gptNeox, phi3, gemma, gemma2, gemma3],
  "this model can be pruned without calibration (--method magnitude), but not run",
);

/**
 * The model that config.json describes, as ops. Throws E_CONFIG without a config or model_type,
 * E_ARCH_UNKNOWN, E_ARCH_OPTION, and E_QUANTIZED_INPUT for weights that are codes.
 */
export function readDecoder(config: ModelConfig | undefined, names: TensorNames): Decoder {
  if (config === undefined) {
    throw new SpInferError("E_CONFIG", "running a model needs its config.json", {
      hint: "name the folder that has the weights and their config.json",
    });
  }
  const method = isQuantizedConfig(config);
  if (method !== undefined) {
    throw new SpInferError("E_QUANTIZED_INPUT", `the model is quantized (${method})`, {
      expected: "16-bit or 32-bit weights",
      hint: "take the checkpoint that this one was made from",
    });
  }
  const settings = new Settings(textConfig(config));
  const type = settings.text("model_type");
  if (type === undefined) throw settings.wrong("model_type", "missing", "a text");
  return architectures.get(type).read(settings, names);
}
