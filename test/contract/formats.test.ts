/** What every format of the list promises, whatever its files are. */
import { describe, expect, it } from "vitest";
import { formats } from "../../formats/index.ts";
import { type ModelFiles, memorySource } from "../../src/core/byteSource.ts";
import { SpInferError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { createRandom } from "../helpers/random.ts";

function filesOf(contents: Readonly<Record<string, Uint8Array>>, single = false): ModelFiles {
  const names = Object.keys(contents).sort();
  return {
    label: "model",
    single,
    names,
    has: (name) => names.includes(name),
    open: async (name) => memorySource(contents[name]!, name),
  };
}

describe.each(formats.all.map((format) => [format.name, format] as const))(
  "format %s",
  (_, format) => {
    it("declares what it can do, and can do that", () => {
      const { read, sparse, dtypes } = format.capabilities;
      expect(read).toBe(true);
      expect(dtypes.length).toBeGreaterThan(0);
      expect(format.packer !== undefined).toBe(sparse);
      expect(format.summary).toMatch(/\S/);
    });

    it("does not claim an empty folder, nor files of other kinds", async () => {
      expect(await format.sniff(filesOf({}))).toBe(false);
      const notes = { "notes.txt": new TextEncoder().encode("nothing here") };
      expect(await format.sniff(filesOf(notes))).toBe(false);
    });

    it("refuses random bytes under any of the usual names with a typed error", async () => {
      const random = createRandom(11);
      for (const name of ["model.safetensors", "model.gguf"]) {
        for (const size of [0, 7, 64, 1000]) {
          const files = filesOf({ [name]: random.bytes(size) }, true);
          if (!(await format.sniff(files))) continue;
          const opened = format.open(files, { limits: DEFAULT_LIMITS });
          await expect(opened, `${name}, ${size} bytes`).rejects.toBeInstanceOf(SpInferError);
        }
      }
    });
  },
);
