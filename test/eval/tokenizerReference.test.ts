/** Ids are those of the Python package `tokenizers`, on a megabyte of mixed text. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, it } from "vitest";
import { openTokenizer } from "../../src/eval/tokenizer.ts";
import { fileFolder } from "../helpers/models.ts";
import { describePython, runPython } from "../helpers/python.ts";
import { mixedText } from "./mixedText.ts";

const script = (name: string): string =>
  fileURLToPath(new URL(`python/${name}.py`, import.meta.url));
const DEMO = fileURLToPath(new URL("../../models/demo/tokenizer.json", import.meta.url));
/** A text of one's own to compare on besides, such as WikiText-2. */
const FURTHER = process.env["SPINFER_WIKITEXT"];

const SHAPES = [
  "gpt2",
  "roberta",
  "smollm",
  "digitRuns",
  "llama3",
  "qwen",
  "llama2",
  "mistral",
  "metaspace",
  "gemma",
];

interface Ids {
  readonly bare: Int32Array;
  readonly whole: Int32Array;
}

function referenceIds(text: string, tokenizers: readonly string[]): Ids[] {
  const output = runPython(script("encode"), [text, ...tokenizers]);
  let at = 0;
  const next = (): Int32Array => {
    const count = output.readInt32LE(at);
    const ids = Int32Array.from({ length: count }, (_, i) => output.readInt32LE(at + 4 + 4 * i));
    at += 4 + 4 * count;
    return ids;
  };
  return tokenizers.map(() => ({ bare: next(), whole: next() }));
}

function ourIds(path: string, text: string): Ids {
  const { encode, prefix, suffix } = openTokenizer({ path, tokenizer: readFileSync(path) });
  const bare = encode(text);
  return { bare, whole: Int32Array.from([...prefix, ...bare, ...suffix]) };
}

/** Shows where they part, which a failed comparison of a million numbers would not. */
function expectEqual(ours: Int32Array, theirs: Int32Array, what: string): void {
  const at = ours.findIndex((id, i) => id !== theirs[i]);
  const around = (ids: Int32Array): number[] => [...ids.subarray(Math.max(0, at - 3), at + 8)];
  if (at >= 0) expect({ what, at, ids: around(ours) }).toEqual({ what, at, ids: around(theirs) });
  expect([what, ours.length]).toEqual([what, theirs.length]);
}

describePython("token ids", () => {
  const folder = fileFolder();
  const paths = SHAPES.map((shape) => join(folder, `${shape}.json`));
  beforeAll(() => {
    const training = join(folder, "training.txt");
    writeFileSync(training, mixedText(300_000, 7));
    runPython(script("makeTokenizers"), [folder, training]);
  });

  it("of the embedded model's tokenizer are the reference's on 1 MB", () => {
    const text = mixedText(1_000_000, 1);
    const path = join(folder, "mixed.txt");
    writeFileSync(path, text);
    const [theirs] = referenceIds(path, [DEMO]);
    const ours = ourIds(DEMO, text);
    expect(ours.bare.length).toBeGreaterThan(300_000);
    expectEqual(ours.bare, theirs!.bare, "bare");
    expectEqual(ours.whole, theirs!.whole, "with special tokens");
    expect(theirs!.whole.length).toBe(theirs!.bare.length + 1);
  });

  it("of tokenizers of every supported shape are the reference's", () => {
    const text = mixedText(150_000, 2);
    const path = join(folder, "shapes.txt");
    writeFileSync(path, text);
    const theirs = referenceIds(path, paths);
    for (const [i, shape] of SHAPES.entries()) {
      const ours = ourIds(paths[i]!, text);
      expectEqual(ours.bare, theirs[i]!.bare, shape);
      expectEqual(ours.whole, theirs[i]!.whole, `${shape}, with special tokens`);
    }
  });

  it.skipIf(FURTHER === undefined || !existsSync(FURTHER))(
    "are the reference's on the text that SPINFER_WIKITEXT names",
    () => {
      const all = [DEMO, paths[SHAPES.indexOf("smollm")]!];
      const theirs = referenceIds(FURTHER!, all);
      for (const [i, path] of all.entries())
        expectEqual(ourIds(path, readFileSync(FURTHER!, "utf8")).whole, theirs[i]!.whole, path);
    },
  );
});
