/**
 * The JSON of a safetensors header, read straight from its bytes into records: no tree in
 * between, so that a header of 100 MB with a million tensors costs a few times its size.
 * What is checked here is each entry by itself; ./layout.ts checks that they fit together.
 */
import { isDtype } from "../../src/core/dtype.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { JsonCursor } from "../../src/core/jsonCursor.ts";
import { JsonError } from "../../src/core/jsonError.ts";
import type { Limits } from "../../src/core/limits.ts";
import { printable } from "../../src/core/text.ts";

export const METADATA_KEY = "__metadata__";

/** As in the reference implementation. Only values of unknown keys can be nested so. */
const MAX_DEPTH = 127;

/** begin..end are offsets in the data section until the layout is checked, then in the file. */
export interface ParsedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  begin: number;
  end: number;
}

export interface ParsedHeader {
  readonly metadata: ReadonlyMap<string, string> | undefined;
  /** In the order of the file. */
  readonly tensors: ParsedTensor[];
  /** Keys of entries that the format does not know, and the tensor of the first of them. */
  readonly unknownKeys: { count: number; first: string | undefined };
}

export interface HeaderOptions {
  readonly limits: Limits;
  readonly keepUnknown?: boolean | undefined;
}

/** Throws JsonError, or a SpInferError where the reason is not in the JSON. */
export function parseHeaderJson(
  bytes: Uint8Array,
  label: string,
  options: HeaderOptions,
): ParsedHeader {
  const cursor = new JsonCursor(bytes, { maxDepth: MAX_DEPTH });
  if (cursor.atEnd()) throw new JsonError("type", 0, "the header is empty, not an object");
  requireKind(cursor, "object", "the header");
  const reader = new EntryReader(cursor, label, options);
  const tensors: ParsedTensor[] = [];
  const names = new Set<string>();
  let metadata: Map<string, string> | undefined;
  let keys = 0;
  cursor.object((key, offset) => {
    names.add(key);
    if (names.size !== ++keys) {
      throw new JsonError("duplicate", offset, `"${printable(key)}" is there twice`);
    }
    if (key === METADATA_KEY) {
      metadata = readMetadata(cursor);
      return;
    }
    if (tensors.length >= options.limits.tensors) throw tooManyTensors(label, options.limits);
    tensors.push(reader.read(key, offset));
  });
  cursor.end();
  return { metadata, tensors, unknownKeys: reader.unknownKeys };
}

function readMetadata(cursor: JsonCursor): Map<string, string> {
  const metadata = new Map<string, string>();
  requireKind(cursor, "object", METADATA_KEY);
  cursor.object((key, offset) => {
    if (metadata.has(key)) {
      const detail = `"${printable(key)}" of ${METADATA_KEY} is there twice`;
      throw new JsonError("duplicate", offset, detail);
    }
    requireKind(cursor, "string", `a value of ${METADATA_KEY}`);
    metadata.set(key, cursor.string());
  });
  return metadata;
}

/** Reads `{"dtype": …, "shape": […], "data_offsets": […]}`; one for all entries of a header. */
class EntryReader {
  readonly unknownKeys: ParsedHeader["unknownKeys"] = { count: 0, first: undefined };
  readonly #cursor: JsonCursor;
  readonly #label: string;
  readonly #options: HeaderOptions;
  /** One string for each dtype, however many tensors have it. */
  readonly #dtypes = new Map<string, string>();
  #name = "";
  #dtype: string | undefined;
  #shape: number[] | undefined;
  /** -1: not read yet. */
  #begin = -1;
  #end = -1;
  /** Numbers of the list read last; its own arrays would be seven times as large. */
  readonly #counts: number[] = [];

  constructor(cursor: JsonCursor, label: string, options: HeaderOptions) {
    this.#cursor = cursor;
    this.#label = label;
    this.#options = options;
  }

  read(name: string, offset: number): ParsedTensor {
    const { tensorNameBytes } = this.#options.limits;
    if (name.length * 3 > tensorNameBytes && Buffer.byteLength(name) > tensorNameBytes) {
      const detail = `a tensor name of ${Buffer.byteLength(name)} bytes is over the limit`;
      throw new JsonError("limit", offset, `${detail} (tensorNameBytes=${tensorNameBytes})`);
    }
    this.#name = name;
    this.#dtype = undefined;
    this.#shape = undefined;
    this.#begin = -1;
    requireKind(this.#cursor, "object", "the entry of", name);
    this.#cursor.object(this.#member);
    const dtype = this.#dtype ?? this.#missing("dtype", offset);
    const shape = this.#shape ?? this.#missing("shape", offset);
    if (this.#begin < 0) this.#missing("data_offsets", offset);
    return { name, dtype, shape, begin: this.#begin, end: this.#end };
  }

  readonly #member = (key: string, offset: number): void => {
    switch (key) {
      case "dtype":
        this.#once(this.#dtype !== undefined, key, offset);
        this.#dtype = this.#readDtype();
        return;
      case "shape":
        this.#once(this.#shape !== undefined, key, offset);
        this.#shape = this.#readShape();
        return;
      case "data_offsets":
        this.#once(this.#begin >= 0, key, offset);
        this.#readOffsets();
        return;
      default:
        this.unknownKeys.count++;
        this.unknownKeys.first ??= this.#name;
        this.#cursor.skip();
    }
  };

  #readDtype(): string {
    requireKind(this.#cursor, "string", "the dtype of", this.#name);
    const offset = this.#cursor.position;
    const dtype = this.#cursor.string();
    const known = this.#dtypes.get(dtype);
    if (known !== undefined) return known;
    if (!isDtype(dtype) && this.#options.keepUnknown !== true) {
      const found = printable(dtype, 40);
      throw new SpInferError(
        "E_ST_DTYPE_UNSUPPORTED",
        `${this.#label}: ${shown(this.#name)} has the dtype "${found}", which SpInfer does not know`,
        {
          path: this.#label,
          tensor: this.#name,
          offset,
          found,
          hint: "--keep-unknown copies such tensors as they are",
        },
      );
    }
    this.#dtypes.set(dtype, dtype);
    return dtype;
  }

  #readShape(): number[] {
    const rank = this.#readCounts("the shape of");
    const { dims } = this.#options.limits;
    if (rank > dims) {
      const detail = `${shown(this.#name)} has ${rank} dimensions, over the limit (dims=${dims})`;
      throw new JsonError("limit", this.#cursor.position, detail);
    }
    return this.#counts.slice(0, rank);
  }

  #readOffsets(): void {
    const found = this.#readCounts("data_offsets of");
    if (found !== 2) {
      const detail = `data_offsets of ${shown(this.#name)} has ${found} numbers, not two`;
      throw new JsonError("type", this.#cursor.position, detail);
    }
    this.#begin = this.#counts[0]!;
    this.#end = this.#counts[1]!;
  }

  /** Reads a list of whole numbers into `#counts`, and says how many they are. */
  #readCounts(what: string): number {
    const cursor = this.#cursor;
    // what is over the limit is counted, not kept
    const kept = Math.max(2, this.#options.limits.dims);
    let length = 0;
    requireKind(cursor, "array", what, this.#name);
    cursor.array(() => {
      const count = cursor.count();
      if (count === undefined) throw this.#notCount(what);
      if (length < kept) this.#counts[length] = count;
      length++;
    });
    return length;
  }

  #notCount(what: string): JsonError {
    const cursor = this.#cursor;
    const kind = cursor.kind();
    const offset = cursor.position;
    const found =
      kind === "number" ? printable(cursor.numberText(), 40) : `a value of type ${kind}`;
    return new JsonError(
      "type",
      offset,
      `${what} ${shown(this.#name)} holds ${found}, not a whole number from 0 to 2^53 - 1`,
    );
  }

  #once(before: boolean, key: string, offset: number): void {
    if (!before) return;
    throw new JsonError("duplicate", offset, `"${key}" of ${shown(this.#name)} is there twice`);
  }

  #missing(key: string, offset: number): never {
    throw new JsonError("type", offset, `${shown(this.#name)} has no "${key}"`);
  }
}

function shown(name: string): string {
  return `tensor "${printable(name, 100)}"`;
}

/** Throws "type" when the next value is of another kind; the subject is `what`, of the tensor. */
function requireKind(
  cursor: JsonCursor,
  wanted: "object" | "array" | "string",
  what: string,
  tensor?: string,
): void {
  const kind = cursor.kind();
  if (kind === wanted) return;
  const subject = tensor === undefined ? what : `${what} ${shown(tensor)}`;
  throw new JsonError("type", cursor.position, `${subject} is of type ${kind}, not ${wanted}`);
}

function tooManyTensors(label: string, limits: Limits): SpInferError {
  return new SpInferError(
    "E_LIMIT_TENSORS",
    `${label}: the header has more than ${limits.tensors} tensors`,
    { path: label, hint: `raise the limit with --limit tensors=${limits.tensors * 2}` },
  );
}
