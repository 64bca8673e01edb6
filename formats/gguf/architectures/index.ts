/** The architectures that a GGUF can have. */
import { createRegistry } from "../../../src/core/registry.ts";
import { gemma, gemma2, gemma3 } from "./gemma.ts";
import { llama } from "./llama.ts";
import { phi3 } from "./phi3.ts";
import { qwen2, qwen3 } from "./qwen.ts";

/** Throws E_GGUF_ARCH for a name that is not in the list. */
export const architectures = createRegistry("GGUF architecture", "E_GGUF_ARCH", [
  llama,
  qwen2,
  qwen3,
  gemma,
  gemma2,
  gemma3,
  phi3,
]);
