/** Parts that several JSON shapes share. */

import { ERROR_CODES, type ErrorCode } from "../../core/errorCodes.ts";
import { z } from "../../core/zod.ts";

export const count = z.int().min(0);
export const bytes = z.int().min(0);
export const fraction = z.number().min(0).max(1);
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
export const milliseconds = z.number().min(0);

export const errorSchema = z.strictObject({
  schema: z.literal("spinfer.error/1"),
  code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]),
  exit: z.int().min(1).max(255).describe("The exit code of the process"),
  message: z.string(),
  path: z.string().nullable(),
  tensor: z.string().nullable(),
  offset: count.nullable().describe("Byte offset in path"),
  found: z.string().nullable(),
  expected: z.string().nullable(),
  hint: z.string().nullable().describe("The next step"),
});

export const warningSchema = z.strictObject({
  code: z.string().regex(/^W_[A-Z_]+$/),
  message: z.string(),
});
