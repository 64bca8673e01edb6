/**
 * Reads and checks the header of one safetensors file: 8 bytes of length, JSON, data.
 *
 * Memory: the header and its records, never tensor bytes. The file comes from strangers: no
 * number in it is used before it is checked, the length is bounded before anything is read.
 * The order of checks is that of the reference implementation (`Metadata::validate`), so that
 * both name the same fault; `parse…` functions are synchronous over bytes, for tests and fuzzing.
 */
import type { ByteSource } from "../../src/core/byteSource.ts";
import { CONTAINER_PROBE_BYTES, recogniseContainer } from "../../src/core/containers.ts";
import type { ErrorCode } from "../../src/core/errorCodes.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { JsonError, type JsonFault } from "../../src/core/jsonError.ts";
import type { Limits } from "../../src/core/limits.ts";
import { printable } from "../../src/core/text.ts";
import { type HeaderOptions, type ParsedHeader, parseHeaderJson } from "./headerJson.ts";
import { checkLayout } from "./layout.ts";

export type { HeaderOptions } from "./headerJson.ts";

/** One tensor; begin..end are offsets in the file. */
export interface HeaderEntry {
  readonly name: string;
  /** A dtype that `isDtype` knows, unless unknown ones are kept. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** Bytes of the JSON, without the 8 of its length. */
  readonly headerBytes: number;
  readonly metadata: ReadonlyMap<string, string>;
  /** Sorted by begin; together they are all bytes behind the header. */
  readonly entries: readonly HeaderEntry[];
  readonly warnings: readonly string[];
}

export const LENGTH_BYTES = 8;
export const OPEN_OBJECT = 0x7b;

const CODES: Readonly<Record<JsonFault, ErrorCode>> = {
  utf8: "E_ST_UTF8",
  syntax: "E_ST_JSON",
  trailing: "E_ST_JSON",
  depth: "E_ST_JSON",
  duplicate: "E_ST_DUP_KEY",
  type: "E_ST_JSON_TYPE",
  limit: "E_LIMIT",
};

/** Codes with which files of other kinds are met; they are looked at again by their magic. */
const NOT_A_HEADER: readonly ErrorCode[] = [
  "E_ST_SHORT",
  "E_ST_HEADER_TOO_LARGE",
  "E_ST_HEADER_LENGTH",
  "E_ST_UTF8",
  "E_ST_JSON",
  "E_ST_JSON_TYPE",
];

/** Reads the header of `source` and checks it against the size of the file. Codes E_ST_…. */
export async function readSafetensorsHeader(
  source: ByteSource,
  limits: Limits,
  options: { readonly keepUnknown?: boolean | undefined } = {},
): Promise<SafetensorsHeader> {
  const probe = await source.read(0, Math.min(source.size, CONTAINER_PROBE_BYTES));
  const headerBytes = parseHeaderLength(probe, source.size, source.label, limits);
  const end = LENGTH_BYTES + headerBytes;
  const whole = end <= probe.length ? probe : await source.read(0, end);
  return parseHeader(whole.subarray(0, end), source.size, source.label, {
    limits,
    keepUnknown: options.keepUnknown,
  });
}

/**
 * The length of the header, from the first bytes of a file of `fileBytes` bytes. With fewer than
 * CONTAINER_PROBE_BYTES of them, files of other kinds may go unnamed.
 */
export function parseHeaderLength(
  firstBytes: Uint8Array,
  fileBytes: number,
  label: string,
  limits: Limits,
): number {
  return named(firstBytes, label, () => {
    if (fileBytes < LENGTH_BYTES || firstBytes.length < LENGTH_BYTES) {
      const found = fileBytes === 0 ? "the file is empty" : `the file has ${fileBytes} bytes`;
      throw new SpInferError(
        "E_ST_SHORT",
        `${label}: ${found}, expected at least ${LENGTH_BYTES}`,
        { path: label, hint: "most likely a failed download: fetch it again" },
      );
    }
    const view = new DataView(firstBytes.buffer, firstBytes.byteOffset, LENGTH_BYTES);
    const length = view.getBigUint64(0, true);
    if (length > BigInt(limits.headerBytes)) {
      throw new SpInferError(
        "E_ST_HEADER_TOO_LARGE",
        `${label}: the header length is ${length} bytes, over the limit of ${limits.headerBytes}`,
        { path: label, offset: 0 },
      );
    }
    const headerBytes = Number(length);
    if (headerBytes > fileBytes - LENGTH_BYTES) {
      throw new SpInferError(
        "E_ST_HEADER_LENGTH",
        `${label}: the header length is ${headerBytes} bytes, but ${fileBytes - LENGTH_BYTES} follow`,
        { path: label, offset: 0, hint: "most likely a partial download: fetch it again" },
      );
    }
    return headerBytes;
  });
}

/** Parses and checks `whole`: the length and the header of a file of `fileBytes` bytes. */
export function parseHeader(
  whole: Uint8Array,
  fileBytes: number,
  label: string,
  options: HeaderOptions,
): SafetensorsHeader {
  const parsed = named(whole, label, () => parsedJson(whole, label, options));
  const { tensors } = parsed;
  checkLayout(tensors, fileBytes - whole.length, label);
  for (const tensor of tensors) {
    tensor.begin += whole.length;
    tensor.end += whole.length;
  }
  return {
    headerBytes: whole.length - LENGTH_BYTES,
    metadata: parsed.metadata ?? new Map(),
    entries: tensors,
    warnings: headerWarnings(parsed, label),
  };
}

function parsedJson(whole: Uint8Array, label: string, options: HeaderOptions): ParsedHeader {
  try {
    return parseHeaderJson(whole.subarray(LENGTH_BYTES), label, options);
  } catch (thrown) {
    if (!(thrown instanceof JsonError)) throw thrown;
    const offset = LENGTH_BYTES + thrown.offset;
    throw new SpInferError(
      CODES[thrown.kind],
      `${label}: the header is not accepted at byte ${offset}: ${thrown.message}`,
      { path: label, offset, hint: hintFor(thrown), cause: thrown },
    );
  }
}

function hintFor(fault: JsonError): string | undefined {
  if (fault.kind === "trailing" && fault.message.startsWith("NUL")) {
    return "the writer padded the header with NUL bytes where the format wants spaces; save the file again with a current safetensors library";
  }
  if (fault.kind === "limit") return "raise the limit with --limit key=value";
  return undefined;
}

/** Runs `check`; when it fails on a file that is recognisably something else, says so instead. */
function named<Result>(firstBytes: Uint8Array, label: string, check: () => Result): Result {
  try {
    return check();
  } catch (thrown) {
    const mayBeOther =
      thrown instanceof SpInferError &&
      NOT_A_HEADER.includes(thrown.code) &&
      firstBytes[LENGTH_BYTES] !== OPEN_OBJECT;
    const container = mayBeOther ? recogniseContainer(firstBytes) : undefined;
    if (container === undefined) throw thrown;
    throw new SpInferError(
      "E_NOT_SAFETENSORS",
      `${label}: the file is ${container.name}, not safetensors`,
      { path: label, found: container.kind, hint: container.advice, cause: thrown },
    );
  }
}

function headerWarnings({ metadata, unknownKeys }: ParsedHeader, label: string): string[] {
  const warnings: string[] = [];
  if (metadata?.has("format") !== true) {
    warnings.push(`${label}: __metadata__ does not say "format"; some loaders refuse such a file`);
  }
  if (unknownKeys.count > 0) {
    const first = `first in tensor "${printable(unknownKeys.first ?? "", 100)}"`;
    warnings.push(
      `${label}: ${unknownKeys.count} unknown keys in the header are ignored, ${first}`,
    );
  }
  return warnings;
}
