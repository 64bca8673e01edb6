/** The one error class of SpInfer. Sentences are for people, codes are for programs. */
import { constants } from "node:os";
import { ERROR_CODES, type ErrorCode } from "./errorCodes.ts";

export interface ErrorDetail {
  /** The file or folder it is about. */
  readonly path?: string | undefined;
  readonly tensor?: string | undefined;
  /** Byte offset in `path`. */
  readonly offset?: number | undefined;
  /** What was found, where the sentence does not say it. */
  readonly found?: string | undefined;
  /** What would have been accepted. */
  readonly expected?: string | undefined;
  /** The next step: a command or an action. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** Overrides the code's own exit code (SIGTERM instead of SIGINT). */
  readonly exit?: number | undefined;
}

/** What an error looks like as JSON and when it crosses from a worker thread. */
export interface ErrorRecord {
  readonly schema: "spinfer.error/1";
  readonly code: ErrorCode;
  readonly exit: number;
  readonly message: string;
  readonly path: string | null;
  readonly tensor: string | null;
  readonly offset: number | null;
  readonly found: string | null;
  readonly expected: string | null;
  readonly hint: string | null;
}

export class SpInferError extends Error {
  override readonly name = "SpInferError";
  readonly code: ErrorCode;
  readonly exit: number;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.exit = detail.exit ?? ERROR_CODES[code].exit;
    this.detail = detail;
  }

  toRecord(): ErrorRecord {
    const { path, tensor, offset, found, expected, hint } = this.detail;
    return {
      schema: "spinfer.error/1",
      code: this.code,
      exit: this.exit,
      message: this.message,
      path: path ?? null,
      tensor: tensor ?? null,
      offset: offset ?? null,
      found: found ?? null,
      expected: expected ?? null,
      hint: hint ?? null,
    };
  }

  static fromRecord(record: ErrorRecord): SpInferError {
    return new SpInferError(record.code, record.message, {
      path: record.path ?? undefined,
      tensor: record.tensor ?? undefined,
      offset: record.offset ?? undefined,
      found: record.found ?? undefined,
      expected: record.expected ?? undefined,
      hint: record.hint ?? undefined,
      exit: record.exit,
    });
  }

  /** The same error with details that only the caller knows; details already there stay. */
  with(detail: ErrorDetail): SpInferError {
    const detailed = new SpInferError(this.code, this.message, { ...detail, ...this.detail });
    if (this.stack !== undefined) detailed.stack = this.stack; // where it happened, not where it was told
    return detailed;
  }
}

/** Anything thrown, as a SpInferError: system errors become E_IO and friends, the rest E_INTERNAL. */
export function toSpInferError(thrown: unknown, detail: ErrorDetail = {}): SpInferError {
  if (thrown instanceof SpInferError) return thrown.with(detail);
  if (isSystemError(thrown)) return fromSystemError(thrown, detail);
  if (
    thrown instanceof RangeError &&
    /allocation|array length|array buffer/i.test(thrown.message)
  ) {
    return new SpInferError("E_MEMORY", `not enough memory: ${thrown.message}`, {
      ...detail,
      cause: thrown,
      hint: "use fewer threads (--threads 1) or a machine with more memory",
    });
  }
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new SpInferError("E_INTERNAL", text, { ...detail, cause: thrown });
}

interface SystemError extends Error {
  readonly code: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly path?: string;
}

function isSystemError(thrown: unknown): thrown is SystemError {
  return (
    thrown instanceof Error &&
    typeof (thrown as { code?: unknown }).code === "string" &&
    /^(?:E[A-Z0-9]+|Unknown system error -\d+)$/.test((thrown as { code?: string }).code ?? "")
  );
}

/** Node has no names for some errors, EDQUOT among them: "Unknown system error -122". */
function nameOf({ code, errno }: SystemError): string {
  if (!code.startsWith("Unknown") || errno === undefined) return code;
  return Object.entries(constants.errno).find(([, value]) => value === -errno)?.[0] ?? code;
}

function fromSystemError(thrown: SystemError, detail: ErrorDetail): SpInferError {
  const path = detail.path ?? thrown.path;
  const where = path === undefined ? "" : `${path}: `;
  const name = nameOf(thrown);
  if (name === "ENOSPC" || name === "EDQUOT") {
    return new SpInferError("E_NO_SPACE", `${where}no space left (${name})`, {
      hint: "free some space, then run the same command with --resume",
      ...detail,
      path,
      cause: thrown,
    });
  }
  const doing = thrown.syscall === undefined ? "failed" : `${thrown.syscall} failed`;
  return new SpInferError("E_IO", `${where}${doing} with ${name}`, {
    hint: IO_HINTS[name],
    ...detail,
    path,
    cause: thrown,
  });
}

const IO_HINTS: Readonly<Record<string, string>> = {
  EACCES: "check the permissions of the file and its folders",
  EPERM: "check the permissions of the file and its folders",
  EROFS: "the file system is read-only; choose another output folder",
  EIO: "the disk reports an error; check the system log before trying again",
  EFBIG: "the file system or a limit (ulimit -f) does not allow files of this size",
  EMFILE: "too many open files; raise the limit (ulimit -n)",
  ENOENT: "check the spelling of the path",
};
