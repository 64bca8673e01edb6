/**
 * zod, loaded as CommonJS: its ES modules open their 64 language files at once, in every thread,
 * which is more than a process with few descriptors may have open.
 */
import { createRequire } from "node:module";
import type * as Zod from "zod";

export type { ZodObject, ZodRawShape, ZodType } from "zod";

/** What a schema gives. */
export type Infer<Schema extends Zod.ZodType> = Zod.infer<Schema>;

const zod = createRequire(import.meta.url)("zod") as typeof Zod;
export const z: typeof Zod.z = zod.z;
