/** Where a MODEL argument points: a folder, a file, or `org/name[@revision]` in the local cache. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { SpInferError, toSpInferError } from "../core/errors.ts";

export interface ModelLocation {
  /** As the user wrote it. */
  readonly label: string;
  /** Absolute path of the folder that holds the files. */
  readonly folder: string;
  /** The one file that was named, if it was not a folder. */
  readonly file?: string;
  /** `org/name@commit` when it came out of the cache. */
  readonly cached?: string;
}

const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(@[\w./-]+)?$/;

/** Throws E_MODEL_NOT_FOUND, or E_NOT_IN_CACHE with the command that downloads the model. */
export function locateModel(argument: string): ModelLocation {
  if (existsSync(argument)) return locatePath(argument);
  if (HUB_ID.test(argument)) return locateCached(argument);
  throw new SpInferError("E_MODEL_NOT_FOUND", `${argument}: no such file or folder`, {
    path: argument,
    expected:
      "a model folder, a .safetensors or .gguf file, or org/name in the local Hugging Face cache",
  });
}

function locatePath(argument: string): ModelLocation {
  const path = resolve(argument);
  try {
    if (statSync(path).isDirectory()) return { label: argument, folder: path };
  } catch (error) {
    throw toSpInferError(error, { path: argument });
  }
  return { label: argument, folder: dirname(path), file: basename(path) };
}

/** The folder of the Hugging Face cache, by the variables that huggingface_hub uses. */
function cacheFolder(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  return join(HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"), "hub");
}

function locateCached(argument: string): ModelLocation {
  const [id = "", revision = "main"] = argument.split("@", 2);
  const repo = join(cacheFolder(), `models--${id.replace("/", "--")}`);
  const ref = join(repo, "refs", revision);
  let commit = revision;
  if (existsSync(ref)) commit = readFileSync(ref, "utf8").trim();
  const snapshot = join(repo, "snapshots", commit);
  if (/^[\w.-]+$/.test(commit) && existsSync(snapshot)) {
    return { label: argument, folder: snapshot, cached: `${id}@${commit}` };
  }
  const at = revision === "main" ? "" : ` --revision ${revision}`;
  throw new SpInferError(
    "E_NOT_IN_CACHE",
    `${argument}: no such path, and not in the local Hugging Face cache`,
    {
      path: argument,
      hint: `SpInfer downloads nothing; fetch the model with: hf download ${id}${at}`,
    },
  );
}
