/** The safetensors format: single files and Hugging Face model folders. */
import type { Archive, TensorEntry } from "../../src/core/archive.ts";
import type { ModelFiles } from "../../src/core/byteSource.ts";
import { DTYPE_BITS, type Dtype } from "../../src/core/dtype.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { defineFormat, type Format } from "../defineFormat.ts";
import { CONFIG_FILE, quantMethod, readConfig } from "./config.ts";
import { LENGTH_BYTES, OPEN_OBJECT } from "./header.ts";
import { openSafetensorsFiles } from "./open.ts";
import { hasSafetensors, isTensorFile } from "./tensorFiles.ts";

/** quant_method of folders whose tensors are packed by the tile-bitmap format. */
export const PACKED_METHOD = "spinfer";

export const safetensors: Format = defineFormat({
  name: "safetensors",
  summary: "safetensors: one file, or a model folder with one file or an index and shards",
  capabilities: {
    read: true,
    write: true,
    dtypes: Object.keys(DTYPE_BITS) as Dtype[],
    sparse: false,
    lossless: true,
  },
  sniff,
  open: async (files, options): Promise<Archive> => {
    const opened = await openSafetensorsFiles(files, options);
    return {
      label: files.label,
      format: "safetensors",
      entries: opened.tensors.map(
        ({ name, dtype, shape, file, begin, end }): TensorEntry => ({
          name,
          dtype,
          shape,
          extents: [{ file, begin, end }],
          stored: "plain",
        }),
      ),
      config: opened.config,
      ...(opened.configText === undefined ? {} : { configText: opened.configText }),
      sideFiles: opened.sideFiles,
      tensorFiles: opened.tensorFiles,
      warnings: [...opened.warnings, ...quantizedWarning(files, opened.config)],
    };
  },
});

async function sniff(files: ModelFiles): Promise<boolean> {
  if (files.single) return sniffFile(files);
  return hasSafetensors(files.names) && !(await isPacked(files));
}

/** By its name, or by a plausible header: files in a Hugging Face cache have no extension. */
async function sniffFile(files: ModelFiles): Promise<boolean> {
  const name = files.names[0] ?? "";
  if (isTensorFile(name)) return true;
  const source = await files.open(name);
  if (source.size <= LENGTH_BYTES) return false;
  const probe = await source.read(0, LENGTH_BYTES + 1);
  const headerBytes = new DataView(probe.buffer, probe.byteOffset).getBigUint64(0, true);
  return probe[LENGTH_BYTES] === OPEN_OBJECT && headerBytes <= source.size - LENGTH_BYTES;
}

/** A config.json that cannot be read is not ours to report while sniffing: `open` does. */
async function isPacked(files: ModelFiles): Promise<boolean> {
  if (!files.has(CONFIG_FILE)) return false;
  try {
    return quantMethod(await readConfig(files, DEFAULT_LIMITS)) === PACKED_METHOD;
  } catch (thrown) {
    if (thrown instanceof SpInferError && thrown.code === "E_CONFIG") return false;
    throw thrown;
  }
}

function quantizedWarning(files: ModelFiles, config: Archive["config"]): string[] {
  const method = config === undefined ? undefined : quantMethod(config);
  if (method === undefined) return [];
  return [
    `${files.label}: the model is already quantized (${method}); it can be inspected, not pruned`,
  ];
}
