/** Which files of a model folder travel with its tensors into an output folder. */
import type { SideFile } from "../../src/core/archive.ts";
import { CONFIG_FILE } from "./config.ts";

/** Weights in any format, their indexes, and what only training needs. */
const OTHER_WEIGHTS =
  /\.(?:safetensors|bin|pt|pth|ckpt|gguf|ggml|onnx|onnx_data|h5|msgpack|tflite|npz|npy|pkl|pickle|ot|tar|gz|tgz|zip)$|\.index\.json$/i;
/** A model card says what the dense model was; a licence stays what it is. */
const CARDS = /\.md$/i;
const LICENCES = /^(?:licen[cs]e|notice|use_policy|copying)/i;
const CODE = /\.(?:py|pyc|ipynb|sh|js)$/i;
/** Written anew with each output. */
const OWN: readonly string[] = [CONFIG_FILE, "spinfer_manifest.json", "recipe.yaml"];

export interface FolderFiles {
  readonly sideFiles: readonly SideFile[];
  /** Code that `auto_map` may name: never run, carried over only when asked for. */
  readonly codeFiles: readonly string[];
}

export function sortFolder(names: readonly string[]): FolderFiles {
  const sideFiles: SideFile[] = [];
  const codeFiles: string[] = [];
  for (const name of names) {
    if (CODE.test(name)) codeFiles.push(name);
    else if (travels(name)) sideFiles.push({ name, content: { from: "source" } });
  }
  return { sideFiles, codeFiles };
}

function travels(name: string): boolean {
  if (name.startsWith(".") || OWN.includes(name) || OTHER_WEIGHTS.test(name)) return false;
  return !CARDS.test(name) || LICENCES.test(name);
}
