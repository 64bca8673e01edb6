/** The tokenizer that belongs to a model, or the one that the user names instead. */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { SpInferError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { openTokenizer, type Tokenizer, type TokenizerBytes } from "../eval/tokenizer.ts";
import { fileSource } from "../io/openFile.ts";
import type { OpenedModel, OpenModelOptions } from "./openModel.ts";

const TOKENIZER = "tokenizer.json";
const SETTINGS = "tokenizer_config.json";

export interface TokenizerChoice extends OpenModelOptions {
  /** A tokenizer.json, or the folder with it, instead of the model's own. */
  readonly tokenizer?: string | undefined;
}

/** The bytes of the one to be used. Throws E_TOKENIZER when it is not there, and E_LIMIT. */
export async function tokenizerBytes(
  model: OpenedModel,
  options: TokenizerChoice,
): Promise<TokenizerBytes> {
  const { tokenizer } = options;
  return tokenizer === undefined
    ? await bytesOfModel(model, options)
    : await bytesNamed(tokenizer, options);
}

/** The model's own, opened. Throws E_TOKENIZER, E_TOKENIZER_UNSUPPORTED, E_LIMIT. */
export async function modelTokenizer(
  model: OpenedModel,
  options: OpenModelOptions,
): Promise<Tokenizer> {
  return openTokenizer(await bytesOfModel(model, options));
}

/** Beside the model, or made from its GGUF. */
async function bytesOfModel(
  model: OpenedModel,
  options: OpenModelOptions,
): Promise<TokenizerBytes> {
  const read = async (name: string): Promise<Uint8Array | undefined> => {
    const file = model.archive.sideFiles.find((side) => side.name === name);
    if (file === undefined) return undefined;
    if (file.content.from === "bytes") return file.content.bytes;
    return await readBounded(model.pathOf(name), options);
  };
  const tokenizer = await read(TOKENIZER);
  const path = join(model.archive.label, TOKENIZER);
  if (tokenizer === undefined) throw missing(path);
  return { path, tokenizer, settings: await read(SETTINGS) };
}

/** `path`: a tokenizer.json, or the folder with it; its settings lie beside it. */
export async function bytesNamed(path: string, options: OpenModelOptions): Promise<TokenizerBytes> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isFolder ? join(path, TOKENIZER) : path;
  if (statSync(file, { throwIfNoEntry: false }) === undefined) throw missing(file);
  const beside = join(dirname(file), SETTINGS);
  const hasSettings = statSync(beside, { throwIfNoEntry: false })?.isFile() === true;
  return {
    path: file,
    tokenizer: await readBounded(file, options),
    settings: hasSettings ? await readBounded(beside, options) : undefined,
  };
}

function missing(path: string): SpInferError {
  return new SpInferError("E_TOKENIZER", `${path}: there is no tokenizer`, {
    path,
    hint: "copy tokenizer.json from the model's page, or name a folder that has it with --tokenizer",
  });
}

async function readBounded(path: string, { limits }: OpenModelOptions): Promise<Uint8Array> {
  const { tokenizerBytes } = limits ?? DEFAULT_LIMITS;
  const source = fileSource(path);
  if (source.size <= tokenizerBytes) return await source.read(0, source.size);
  throw new SpInferError("E_LIMIT", `${path}: the file is larger than the limit allows`, {
    path,
    found: `${source.size} bytes`,
    expected: `at most ${tokenizerBytes} bytes`,
    hint: "raise the limit with --limit tokenizerBytes=N",
  });
}
