/**
 * The tile-bitmap format: a safetensors folder whose config.json says `quant_method: "spinfer"`.
 * A packed weight is a payload under the weight's own name and a `weight_meta` beside it; all other
 * tensors are plain. This is the one format that is built on another: it opens its files as
 * safetensors and looks at what the names mean.
 */
import type { Archive, Encoding, TensorEntry } from "../../src/core/archive.ts";
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { isRecord } from "../../src/core/guards.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import { transposeHalves } from "../../src/core/transpose.ts";
import { type Decoded, defineFormat, type Format } from "../defineFormat.ts";
import { CONFIG_FILE, quantMethod, readConfig } from "../safetensors/config.ts";
import { PACKED_METHOD } from "../safetensors/format.ts";
import { openSafetensorsFiles, type StoredTensor } from "../safetensors/open.ts";
import { META } from "./layout.ts";
import { checkPacked, unpackMatrix } from "./matrix.ts";
import { type Meta, type Origin, readMetaHeader } from "./meta.ts";
import { kernels, META_SUFFIX, packer } from "./packer.ts";

const NAME = "tile-bitmap";
const PACKED_SUFFIX = `.weight${META_SUFFIX}`;

export const tileBitmap: Format = defineFormat({
  name: NAME,
  summary: "SpInfer's sparse checkpoint: a model folder with weights as tile-bitmap chunks",
  capabilities: { read: true, write: true, dtypes: ["F16", "BF16"], sparse: true, lossless: true },
  packer,
  sniff: async (files) =>
    !files.single &&
    files.has(CONFIG_FILE) &&
    files.names.some((name) => name.endsWith(".safetensors")) &&
    quantMethod(await readConfig(files, DEFAULT_LIMITS)) === PACKED_METHOD,

  async open(files, options): Promise<Archive> {
    const opened = await openSafetensorsFiles(files, options);
    checkVersion(opened.config?.["quantization_config"], files.label);
    const { quantization_config: _, ...config } = opened.config ?? {};
    return {
      label: files.label,
      format: NAME,
      entries: await pairUp(files, opened.tensors, options.limits),
      config,
      ...(opened.configText === undefined ? {} : { configText: opened.configText }),
      sideFiles: opened.sideFiles,
      tensorFiles: opened.tensorFiles,
      warnings: opened.warnings,
    };
  },

  check: (entry, stored) => {
    checkStored(entry, stored);
  },

  decode(entry, stored): Decoded {
    const { meta, payload } = checkStored(entry, stored);
    const bits = unpackMatrix(meta, payload, kernels());
    const dense = meta.transposed ? transposeHalves(bits, meta.grid.rows, meta.grid.cols) : bits;
    return { bytes: new Uint8Array(dense.buffer, dense.byteOffset, dense.byteLength) };
  },
});

function checkStored(
  entry: TensorEntry,
  [payload, metaTensor]: readonly Uint8Array[],
): { meta: Meta; payload: Uint8Array } {
  const origin: Origin = { path: entry.extents[0]?.file, tensor: entry.name };
  if (payload === undefined || metaTensor === undefined) {
    throw notAPair(origin, "it has no weight_meta");
  }
  return { meta: checkPacked(payload, metaTensor, origin, { crc: true }), payload };
}

function checkVersion(settings: unknown, label: string): void {
  const version = isRecord(settings) ? settings["format_version"] : undefined;
  if (typeof version === "string" && /^1\.\d+$/.test(version)) return;
  throw new SpInferError(
    "E_TB_VERSION",
    `${label}: ${CONFIG_FILE} names tile-bitmap version ${JSON.stringify(version ?? null)}`,
    {
      path: label,
      expected: '"1.0"',
      hint: "use a newer SpInfer to read this checkpoint",
    },
  );
}

/** Payloads with their weight_meta become one entry each; the others stay as they are. */
async function pairUp(
  files: ModelFiles,
  tensors: readonly StoredTensor[],
  limits: Limits,
): Promise<TensorEntry[]> {
  const metas = new Map(
    tensors.filter(({ name }) => name.endsWith(PACKED_SUFFIX)).map((meta) => [meta.name, meta]),
  );
  const entries: TensorEntry[] = [];
  for (const tensor of tensors) {
    if (tensor.name.endsWith(PACKED_SUFFIX)) continue;
    const meta = metas.get(tensor.name + META_SUFFIX);
    if (meta === undefined) {
      if (looksPacked(tensor))
        throw notAPair({ path: tensor.file, tensor: tensor.name }, "its weight_meta is missing");
      entries.push(plainEntry(tensor));
      continue;
    }
    entries.push(await packedEntry(files, tensor, meta, limits));
    metas.delete(meta.name);
  }
  for (const { name, file } of metas.values())
    throw notAPair({ path: file, tensor: name }, "its weight is missing");
  return entries;
}

/** No layer has a weight of one dimension of integers. */
function looksPacked({ name, dtype, shape }: StoredTensor): boolean {
  return name.endsWith(".weight") && dtype === "I64" && shape.length === 1;
}

function plainEntry({ name, dtype, shape, file, begin, end }: StoredTensor): TensorEntry {
  return { name, dtype, shape, extents: [{ file, begin, end }], stored: "plain" };
}

async function packedEntry(
  files: ModelFiles,
  payload: StoredTensor,
  meta: StoredTensor,
  limits: Limits,
): Promise<TensorEntry> {
  const origin: Origin = { path: payload.file, tensor: payload.name };
  for (const { name, dtype, shape } of [payload, meta]) {
    if (dtype === "I64" && shape.length === 1) continue;
    throw notAPair(
      { path: payload.file, tensor: name },
      `it is ${dtype} [${shape.join(", ")}] and not I64 with one dimension`,
    );
  }
  const source = await files.open(meta.file);
  const headerEnd = Math.min(meta.end, meta.begin + META.bytes);
  const header = readMetaHeader(
    await source.read(meta.begin, headerEnd),
    meta.end - meta.begin,
    origin,
  );
  const stored = payload.end - payload.begin;
  if (stored !== header.payloadBytes) {
    throw notAPair(
      origin,
      `its payload has ${stored} bytes, its weight_meta says ${header.payloadBytes}`,
    );
  }
  const { rows, cols } = header.grid;
  if (rows * cols * 2 > limits.denseBytes) {
    throw new SpInferError(
      "E_LIMIT_DENSE",
      `${payload.file}: ${payload.name} is ${rows} × ${cols} when dense`,
      {
        ...origin,
        expected: `at most ${limits.denseBytes} bytes; raise it with --limit denseBytes=…`,
      },
    );
  }
  const encoding: Encoding = {
    format: NAME,
    rows,
    cols,
    transposed: header.transposed,
    nonzeros: header.nonzeros,
  };
  return {
    name: payload.name,
    dtype: header.dtype,
    shape: header.transposed ? [cols, rows] : [rows, cols],
    extents: [payload, meta].map(({ file, begin, end }) => ({ file, begin, end })),
    encoding,
    stored: NAME,
  };
}

function notAPair(origin: Origin, what: string): SpInferError {
  return new SpInferError("E_TB_PAIR", `${origin.path}: ${origin.tensor}: ${what}`, {
    ...origin,
    expected: "a payload <module>.weight and <module>.weight_meta, both I64 with one dimension",
    hint: "the checkpoint is damaged or was not written by SpInfer: fetch it again or convert it anew",
  });
}
