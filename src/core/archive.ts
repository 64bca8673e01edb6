/** What an opened checkpoint is: an index of tensors, and how to get at the values of each. */
/** A run of bytes in one of the model's files, begin..end, half-open. */
export interface Extent {
  /** Name of the file in the model folder. */
  readonly file: string;
  readonly begin: number;
  readonly end: number;
}

/**
 * How stored bytes become values. Plain data, so that it can be sent to a worker thread;
 * the format that made it (`format`) knows how to decode it, nobody else looks inside.
 */
export interface Encoding {
  readonly format: string;
  readonly [key: string]: unknown;
}

/** One tensor as a user of the model sees it: its dense name, dtype and shape. */
export interface TensorEntry {
  readonly name: string;
  /** dtype of the dense values that decoding gives; of a kind that `isDtype` does not know only when
   * the user asked to keep unknown tensors. */
  readonly dtype: string;
  /** Shape of the dense tensor; row-major. */
  readonly shape: readonly number[];
  /** Where the stored bytes are. Most tensors have one extent, a packed one has two. */
  readonly extents: readonly Extent[];
  /** Absent: the stored bytes are the dense values themselves. */
  readonly encoding?: Encoding;
  /** What the encoding is called in tables: "plain", "tile-bitmap", "Q4_1", … */
  readonly stored: string;
}

export interface ModelConfig {
  readonly [key: string]: unknown;
}

/** A file that travels with the tensors: tokenizer, generation settings, licence, … */
export interface SideFile {
  readonly name: string;
  /** Copied from the source under the same name, or made by the format (GGUF → tokenizer.json). */
  readonly content:
    | { readonly from: "source" }
    | { readonly from: "bytes"; readonly bytes: Uint8Array };
}

export interface Archive {
  readonly label: string;
  /** Name of the format that opened it. */
  readonly format: string;
  /** Sorted by file, then offset. Names are unique. */
  readonly entries: readonly TensorEntry[];
  /** config.json as it should be in an output folder (without our quantization_config), if known. */
  readonly config: ModelConfig | undefined;
  /**
   * The text of `config`, where the way numbers are written matters: transformers refuses 30 for
   * some settings that are 30.0. An output edits this text instead of writing `config` anew.
   */
  readonly configText?: string;
  readonly sideFiles: readonly SideFile[];
  /** The files that hold tensors, with their sizes. */
  readonly tensorFiles: readonly { readonly name: string; readonly bytes: number }[];
  /** Things a user should know, as sentences. */
  readonly warnings: readonly string[];
}

export function storedBytes(entry: TensorEntry): number {
  let sum = 0;
  for (const { begin, end } of entry.extents) sum += end - begin;
  return sum;
}
