/** Where the CUDA library lies: named by the user, in the package, or built in a clone. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { packagePath } from "./packageFile.ts";

export interface LibrarySearch {
  /** Absent: none of the places has one. */
  readonly path: string | undefined;
  readonly tried: readonly string[];
}

/** The platforms that the package brings a library for. */
export const NATIVE_PLATFORM = `${process.platform}-${process.arch}`;

/** `SPINFER_LIBRARY` alone when it is set; else dist/native and kernels/build. */
export function findLibrary(
  env: Readonly<Record<string, string | undefined>> = process.env,
): LibrarySearch {
  const named = env["SPINFER_LIBRARY"];
  const tried =
    named !== undefined && named !== ""
      ? [resolve(named)]
      : [
          packagePath(`dist/native/${NATIVE_PLATFORM}/libspinfer.so`),
          packagePath("kernels/build/libspinfer.so"),
        ];
  return { path: tried.find((path) => existsSync(path)), tried };
}
