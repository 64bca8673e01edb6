/**
 * A shared library of ours through koffi: all there, of the ABI version that is expected, with all of
 * its functions.
 */
import { sizesOf } from "../io/elfFile.ts";

export type Koffi = typeof import("koffi")["default"];

export interface NativeFunction {
  (...values: readonly unknown[]): unknown;
  /** Runs in a thread of koffi's; the last of `values` is called with an error or the result. */
  readonly async: (...values: readonly unknown[]) => void;
}

/** The library cannot be used at all. */
export class LibraryFailure extends Error {
  readonly path: string;
  /** What to do, where the library itself is not to blame. */
  readonly hint: string | undefined;
  constructor(path: string, message: string, hint?: string) {
    super(message);
    this.path = path;
    this.hint = hint;
  }
}

export interface SharedLibrary<Name extends string> {
  readonly koffi: Koffi;
  readonly functions: Readonly<Record<Name, NativeFunction>>;
}

/**
 * `declarations`: C prototypes by name; `version`: the function that says its ABI version. Throws
 * LibraryFailure when the file cannot be loaded or is of another version.
 */
export async function openSharedLibrary<Name extends string>(
  path: string,
  declarations: Readonly<Record<Name, string>>,
  version: { readonly name: string; readonly expected: number },
): Promise<SharedLibrary<Name>> {
  const koffi = await importKoffi(path);
  let loaded: ReturnType<Koffi["load"]>;
  try {
    const sizes = sizesOf(path);
    if (sizes !== undefined && sizes.found < sizes.least)
      throw new Error(`it is cut short, ${sizes.found} of at least ${sizes.least} bytes`);
    loaded = koffi.load(path);
  } catch (cause) {
    throw new LibraryFailure(path, `it does not load: ${(cause as Error).message}`);
  }
  const found = versionOf(path, loaded, version.name);
  if (found !== version.expected) {
    throw new LibraryFailure(path, `its ABI version is ${found}, expected ${version.expected}`);
  }
  const functions = Object.fromEntries(
    Object.entries<string>(declarations).map(([name, declaration]) => {
      try {
        return [name, loaded.func(declaration)];
      } catch {
        throw new LibraryFailure(path, `it has no ${name}`);
      }
    }),
  ) as unknown as Record<Name, NativeFunction>;
  return { koffi, functions };
}

/** Asked before anything else: an older library lacks functions of this one. */
function versionOf(path: string, loaded: ReturnType<Koffi["load"]>, name: string): number {
  try {
    return loaded.func(`int32_t ${name}()`)() as number;
  } catch {
    throw new LibraryFailure(path, `it is not SpInfer's: it has no ${name}`);
  }
}

async function importKoffi(path: string): Promise<Koffi> {
  try {
    return (await import("koffi")).default;
  } catch (cause) {
    throw new LibraryFailure(
      path,
      `it needs the npm package koffi, which does not load here: ${(cause as Error).message}`,
      "npm install koffi",
    );
  }
}
