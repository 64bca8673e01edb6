/** A folder that is gone when the work in it is done. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toSpInferError } from "../core/errors.ts";

export async function inTemporaryFolder<Result>(
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  let folder: string;
  try {
    folder = mkdtempSync(join(tmpdir(), "spinfer-"));
  } catch (error) {
    throw toSpInferError(error, { path: tmpdir() });
  }
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
