/**
 * SmolLM2-135M-Instruct on the engine beside transformers in float32. SPINFER_SMOLLM2_GGUF names
 * the file (test/real/smollm2.test.ts).
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { AVAILABLE_ENGINES } from "../engine/availableEngines.ts";
import { openFolder, relativeDifference, runBlocks } from "../engine/checkpoints.ts";
import { describePython, runPython } from "../helpers/python.ts";
import { convertRecipe } from "../pipeline/recipes.ts";

const LENGTH = 300;
const SCRIPT = `
import sys, torch, transformers
from transformers import AutoModelForCausalLM
transformers.logging.set_verbosity_error()
folder, ids, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
given = torch.frombuffer(bytearray(open(ids, "rb").read()), dtype=torch.int32).long()[None]
with torch.no_grad():
    made = model(given, use_cache=False)
open(out, "wb").write(made.logits.contiguous().numpy().tobytes())
`;

const given = process.env["SPINFER_SMOLLM2_GGUF"];
const path = given === undefined || given === "" ? undefined : resolve(given);

function describeModel(name: string, define: (path: string) => void): void {
  if (path !== undefined && existsSync(path)) {
    describePython(name, () => define(path));
    return;
  }
  const reason = "SPINFER_SMOLLM2_GGUF names no file";
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
  describe.skip(`${name} (skipped: ${reason})`, () => define(""));
}

describeModel("SmolLM2-135M-Instruct on the engine", (file) => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-smollm2-engine-"));
  const dense = join(folder, "dense");
  const ids = Int32Array.from({ length: LENGTH }, (_, i) => (i * 7919 + 13) % 49_152);
  let expected = new Float32Array();

  beforeAll(async () => {
    await executeRecipe(file, dense, convertRecipe({ to: "dense" }));
    writeFileSync(join(folder, "ids"), ids);
    runPython(SCRIPT, [dense, join(folder, "ids"), join(folder, "logits")]);
    expected = new Float32Array(new Uint8Array(readFileSync(join(folder, "logits"))).buffer);
  }, 600_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const engines = AVAILABLE_ENGINES.filter((engine) => engine !== "typescript");
  it.each(
    engines.flatMap((engine) => [
      [engine, "the GGUF", () => file] as const,
      [engine, "a folder made of it", () => dense] as const,
    ]),
  )("%s: %s gives the logits of transformers", async (engine, _, where) => {
    const model = await openFolder(where(), engine);
    const logits = await model.logits(await runBlocks(model, ids, LENGTH));
    await model.close();
    const difference = relativeDifference(logits, expected);
    console.info(`SmolLM2-135M-Instruct, ${engine}: ${difference.toExponential(1)}`);
    expect(difference).toBeLessThan(1e-4);
  });

  it("the plain engine gives them too", async () => {
    const length = 40;
    const model = await openFolder(dense, "typescript");
    const logits = await model.logits(await runBlocks(model, ids.slice(0, length), length));
    await model.close();
    const difference = relativeDifference(logits, expected.subarray(0, logits.length));
    console.info(`SmolLM2-135M-Instruct, plain: ${difference.toExponential(1)}`);
    expect(difference).toBeLessThan(1e-4);
  });
});
