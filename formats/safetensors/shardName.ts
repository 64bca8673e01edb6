/**
 * Which names an index may give its shards. The same on every system, so that a folder that is
 * safe on one is safe on all: Windows forms are refused on Linux too.
 */
import { SpInferError } from "../../src/core/errors.ts";
import { printable } from "../../src/core/text.ts";

const MAX_NAME_BYTES = 255;

/** Names that Windows takes for devices, with whatever extension. */
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\.|$)/i;

/** Throws E_PATH_ESCAPE or E_INDEX_EXT unless `shard` is the plain name of a safetensors file. */
export function checkShardName(shard: string, label: string): void {
  const fault = nameFault(shard);
  if (fault !== undefined) {
    throw new SpInferError(
      "E_PATH_ESCAPE",
      `${label}: the shard name "${printable(shard, 80)}" ${fault}`,
      {
        path: label,
        found: printable(shard),
        expected: "the plain name of a file in the same folder",
        hint: "do not use this model: its index tries to reach other files",
      },
    );
  }
  if (!shard.endsWith(".safetensors")) {
    throw new SpInferError(
      "E_INDEX_EXT",
      `${label}: the shard "${printable(shard, 80)}" is not a .safetensors file`,
      {
        path: label,
        found: printable(shard),
        hint: "an index of safetensors must not lead to other formats; SpInfer never opens pickles",
      },
    );
  }
}

function nameFault(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name === "." || name === "..") return "is a folder";
  if (/[/\\]/.test(name)) return "has a folder part";
  if (name.includes(":")) return "has a colon (a drive or a stream on Windows)";
  if (/[\p{Cc}\p{Cs}]/u.test(name)) return "has a control character";
  if (/[ .]$/.test(name)) return "ends in a space or a dot, which Windows drops";
  if (WINDOWS_DEVICE.test(name)) return "is a device on Windows";
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `is longer than ${MAX_NAME_BYTES} bytes`;
  return undefined;
}
