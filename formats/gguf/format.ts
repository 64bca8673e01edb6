/**
 * GGUF as a source of models: what is opened looks like a Hugging Face folder, with its tensor
 * names, its shapes, a config.json and tokenizer files. Written nowhere; docs/formats/gguf.md says
 * what is supported.
 *
 * Memory: the header and the files made from it. Tensors are decoded one at a time (./decode.ts).
 */
import type { Archive, TensorEntry } from "../../src/core/archive.ts";
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { denseBytes, type WeightDtype } from "../../src/core/dtype.ts";
import { SpInferError } from "../../src/core/errors.ts";
import type { Limits } from "../../src/core/limits.ts";
import { defineFormat, type OpenOptions } from "../defineFormat.ts";
import type { Table } from "./architectures/defineArchitecture.ts";
import { architectures } from "./architectures/index.ts";
import { configText, generationConfig, modelConfig } from "./config.ts";
import { decodeGguf } from "./decode.ts";
import type { GgufEncoding } from "./encoding.ts";
import { type MappedTensor, mapTensors } from "./mapTensors.ts";
import { type Metadata, metadataOf } from "./metadata.ts";
import { type GgufModel, isGgufName, openParts, type PartTensor } from "./parts.ts";
import { sizesOf } from "./sizes.ts";
import { tokenizerFiles } from "./tokenizer/files.ts";
import type { Vocabulary } from "./tokenizer/vocabulary.ts";
import { MAGIC } from "./types.ts";

export const gguf = defineFormat({
  name: "gguf",
  summary: "GGUF of llama.cpp, versions 2 and 3; quantised weights are dequantised exactly",
  capabilities: {
    read: true,
    write: false,
    dtypes: ["F16", "BF16", "F32"],
    sparse: false,
    lossless: false,
  },
  sniff,
  open,
  decode: decodeGguf,
});

async function sniff(files: ModelFiles): Promise<boolean> {
  if (files.names.some(isGgufName)) return true;
  const name = files.names[0];
  if (!files.single || name === undefined) return false;
  const source = await files.open(name);
  if (source.size < MAGIC.length) return false;
  return String.fromCharCode(...(await source.read(0, MAGIC.length))) === MAGIC;
}

async function open(files: ModelFiles, { limits, dtype }: OpenOptions): Promise<Archive> {
  const model = await openParts(files, limits);
  const metadata = metadataOf(model.header.metadata, model.label);
  const arch = metadata.required(metadata.string, "general.architecture");
  const architecture = findArchitecture(arch, model.label);
  const sizes = sizesOf(arch, metadata, model.tensors);
  const { tensors, groups, tables } = mapTensors(architecture, sizes, model.tensors, model.label);
  const chosen = dtype ?? defaultDtype(model.tensors);
  const { vocabulary, files: tokenizer, warnings } = tokenizerFiles(arch, metadata, sizes.context);
  checkVocabulary(vocabulary, sizes.vocab, metadata);
  const source = { arch, metadata, sizes, groups, tables: await readTables(tables) };
  const config = modelConfig(architecture, source, vocabulary, chosen);
  return {
    label: model.label,
    format: "gguf",
    entries: tensors.map((tensor) => entryOf(tensor, chosen, limits, model.label)),
    config,
    configText: configText(config),
    sideFiles: [...tokenizer, ...generationConfig(vocabulary)],
    tensorFiles: model.parts.map(({ name, source: { size } }) => ({ name, bytes: size })),
    warnings,
  };
}

function findArchitecture(name: string, label: string) {
  try {
    return architectures.get(name);
  } catch (thrown) {
    const detail = { path: label, hint: "use the model's original safetensors" };
    throw thrown instanceof SpInferError
      ? new SpInferError(thrown.code, `${label}: ${thrown.message}`, {
          ...thrown.detail,
          ...detail,
        })
      : thrown;
  }
}

/** The file's own 16-bit type if all its matrices have it, else F16. */
function defaultDtype(tensors: GgufModel["tensors"]): WeightDtype {
  const types = new Set(tensors.filter(({ dims }) => dims.length > 1).map(({ type }) => type));
  return types.size === 1 && types.has("BF16") ? "BF16" : "F16";
}

function checkVocabulary(
  vocabulary: Vocabulary | undefined,
  rows: number,
  metadata: Metadata,
): void {
  const count = vocabulary?.tokens.length ?? 0;
  if (count <= rows) return;
  throw metadata.wrong("tokenizer.ggml.tokens", `has ${count} tokens for ${rows} embeddings`);
}

async function readTables(
  tables: readonly { readonly table: Table; readonly tensor: PartTensor }[],
): Promise<Map<Table, Float32Array>> {
  const values = new Map<Table, Float32Array>();
  for (const { table, tensor } of tables) {
    const bytes = await tensor.part.source.read(tensor.begin, tensor.end);
    values.set(table, new Float32Array(new Uint8Array(bytes).buffer));
  }
  return values;
}

function entryOf(
  { tensor, name, shape, permuteHeads, subtractOne }: MappedTensor<PartTensor>,
  dtype: WeightDtype,
  limits: Limits,
  label: string,
): TensorEntry {
  const bytes = denseBytes(dtype, shape);
  if (bytes === undefined || bytes > limits.denseBytes) {
    throw new SpInferError(
      "E_LIMIT_DENSE",
      `${label}: tensor "${tensor.name}" takes ${bytes} bytes as ${dtype}`,
      { path: label, tensor: tensor.name, expected: `at most ${limits.denseBytes}` },
    );
  }
  const encoding: GgufEncoding = {
    format: "gguf",
    type: tensor.type,
    ...(permuteHeads === undefined ? {} : { permuteHeads }),
    ...(subtractOne === undefined ? {} : { subtractOne }),
  };
  return {
    name,
    dtype,
    shape,
    extents: [{ file: tensor.part.name, begin: tensor.begin, end: tensor.end }],
    encoding,
    stored: tensor.type,
  };
}
