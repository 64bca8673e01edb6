/** What the Python package safetensors makes of files. */
import { fileURLToPath } from "node:url";
import { runPython } from "../../helpers/python.ts";

export interface ReferenceTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Hexadecimal. */
  readonly data: string;
}

const SCRIPT = fileURLToPath(new URL("./reference.py", import.meta.url));

/** One item a file: its tensors sorted by name, or undefined when the package refuses it. */
export function referenceRead(
  files: readonly Uint8Array[],
): readonly (readonly ReferenceTensor[] | undefined)[] {
  const blobs = files.flatMap((file) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(file.length);
    return [length, file];
  });
  const output = runPython(SCRIPT, [], { input: Buffer.concat(blobs) });
  const results = JSON.parse(output.toString()) as ([string, string, number[], string][] | null)[];
  return results.map((tensors) =>
    tensors
      ?.map(([name, dtype, shape, data]) => ({ name, dtype, shape, data }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
}
