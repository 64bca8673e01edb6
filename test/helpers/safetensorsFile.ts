/** Safetensors files and model folders in memory, well-formed or not. */
import {
  type HeaderOptions,
  LENGTH_BYTES,
  parseHeader,
  parseHeaderLength,
  type SafetensorsHeader,
} from "../../formats/safetensors/header.ts";
import { type ModelFiles, memorySource } from "../../src/core/byteSource.ts";
import { CONTAINER_PROBE_BYTES } from "../../src/core/containers.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";

/** A file of any header (text, bytes, or a value written as JSON) and any data. */
export function rawSafetensors(
  header: unknown,
  data: Uint8Array | number = 0,
  headerLength?: bigint,
): Uint8Array {
  const text =
    header instanceof Uint8Array
      ? header
      : Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(headerLength ?? BigInt(text.length));
  return Buffer.concat([length, text, typeof data === "number" ? Buffer.alloc(data) : data]);
}

/** An entry of a header: bytes begin..end as a flat tensor of U8. */
export function u8(
  begin: number,
  end: number,
): {
  dtype: string;
  shape: number[];
  data_offsets: number[];
} {
  return { dtype: "U8", shape: [end - begin], data_offsets: [begin, end] };
}

/** Parses and checks a whole file. */
export function parseFile(
  file: Uint8Array,
  options: HeaderOptions = { limits: DEFAULT_LIMITS },
): SafetensorsHeader {
  const probe = file.subarray(0, CONTAINER_PROBE_BYTES);
  const headerBytes = parseHeaderLength(probe, file.length, "x.safetensors", options.limits);
  const whole = file.subarray(0, LENGTH_BYTES + headerBytes);
  return parseHeader(whole, file.length, "x.safetensors", options);
}

/** A model folder, or with `single` the one file of `contents`. */
export function memoryFiles(
  contents: Readonly<Record<string, Uint8Array | string | object>>,
  single = false,
): ModelFiles {
  const files = new Map(
    Object.entries(contents).map(([name, content]) => {
      if (content instanceof Uint8Array) return [name, new Uint8Array(content)];
      const text = typeof content === "string" ? content : JSON.stringify(content);
      return [name, new TextEncoder().encode(text)];
    }),
  );
  return {
    label: "model",
    single,
    names: [...files.keys()].sort(),
    has: (name) => files.has(name),
    open: async (name) => {
      const bytes = files.get(name);
      if (bytes === undefined) throw new SpInferError("E_SHARD_MISSING", `${name}: missing`);
      return memorySource(bytes, `model/${name}`);
    },
  };
}

/** The error that `run` ends with; fails when it ends well or with an error of another class. */
export async function refusal(run: () => unknown): Promise<SpInferError> {
  try {
    await run();
  } catch (thrown) {
    if (thrown instanceof SpInferError) return thrown;
    throw new Error("the error is not a SpInferError", { cause: thrown });
  }
  throw new Error("nothing was refused");
}
