/** Where our shared libraries lie: named by the user, in the package, or built in a clone. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { packagePath } from "./packageFile.ts";

/** The variable that names each library, for those who have one elsewhere. */
const VARIABLES = {
  "libspinfer.so": "SPINFER_LIBRARY",
  "libspinfer_cpu.so": "SPINFER_CPU_LIBRARY",
} as const;

export interface LibrarySearch {
  /** Absent: none of the places has one. */
  readonly path: string | undefined;
  readonly tried: readonly string[];
}

/** The platforms that the package brings a library for. */
export const NATIVE_PLATFORM = `${process.platform}-${process.arch}`;

/** Where the library's variable says, when it is set; else dist/native and kernels/build. */
export function findLibrary(
  name: keyof typeof VARIABLES,
  env: Readonly<Record<string, string | undefined>> = process.env,
): LibrarySearch {
  const named = env[VARIABLES[name]];
  const tried =
    named !== undefined && named !== ""
      ? [resolve(named)]
      : [
          packagePath(`dist/native/${NATIVE_PLATFORM}/${name}`),
          packagePath(`kernels/build/${name}`),
        ];
  return { path: tried.find((path) => existsSync(path)), tried };
}
