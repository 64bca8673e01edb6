/** The one way in which formats see bytes. Ranges are half-open; a read is exact or an error. */
import { SpInferError } from "./errors.ts";

export interface ByteSource {
  /** Path or name, for messages. */
  readonly label: string;
  /** Bytes in the whole source. */
  readonly size: number;
  /** The bytes begin..end in fresh memory. Throws when they are not all there. */
  read(begin: number, end: number): Promise<Uint8Array>;
}

/** Bytes in memory as a source. */
export function memorySource(bytes: Uint8Array, label = "memory"): ByteSource {
  return {
    label,
    size: bytes.byteLength,
    read: async (begin, end) => {
      checkRange(begin, end, bytes.byteLength, label);
      return bytes.slice(begin, end);
    },
  };
}

export function checkRange(begin: number, end: number, size: number, label: string): void {
  if (
    !(
      Number.isSafeInteger(begin) &&
      Number.isSafeInteger(end) &&
      begin >= 0 &&
      begin <= end &&
      end <= size
    )
  ) {
    throw new SpInferError(
      "E_INTERNAL",
      `${label}: bytes ${begin}..${end} of ${size} were asked for`,
      {
        path: label,
      },
    );
  }
}

/** The files of a model: one file, or those of a folder. Formats see folders through this. */
export interface ModelFiles {
  /** Path of the folder or file, for messages. */
  readonly label: string;
  /** True when the user named one file and not a folder. */
  readonly single: boolean;
  /** Names relative to the folder, sorted by code unit, never with a directory part. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Opens a file of the folder. Throws E_SHARD_MISSING when it is not there. */
  open(name: string): Promise<ByteSource>;
}
