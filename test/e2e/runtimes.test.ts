/**
 * Other people's loaders on our folders: transformers raises on packed weights instead of returning
 * garbage, and loads `--to dense` with exactly the pruned weights.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describePython, runPython } from "../helpers/python.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MODEL = join(ROOT, "models/demo");

describePython("transformers", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-runtimes-"));
  const [sparse, dense] = [join(folder, "sparse"), join(folder, "dense")];

  beforeAll(async () => {
    const library = await import(join(ROOT, "dist/src/index.js"));
    const recipe = library.readRecipe(
      "version: 1\nprune: {method: magnitude, sparsity: 0.5, scope: row}\n",
      "recipe",
    );
    await library.executeRecipe(MODEL, sparse, recipe, { threads: 1 });
    const back = library.readRecipe("version: 1\nconvert: {to: dense}\n", "recipe");
    await library.executeRecipe(sparse, dense, back, { threads: 1 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("NU-08 raises on a tile-bitmap folder, and without its quantization_config too", () => {
    const script = `
import json, shutil, sys
from pathlib import Path
from transformers import AutoModelForCausalLM
def outcome(folder):
    try:
        AutoModelForCausalLM.from_pretrained(folder)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "loaded"
bare = Path(sys.argv[1]).parent / "bare"
shutil.copytree(sys.argv[1], bare)
config = json.loads((bare / "config.json").read_text())
del config["quantization_config"]
(bare / "config.json").write_text(json.dumps(config))
print(json.dumps([outcome(sys.argv[1]), outcome(bare)]))
`;
    const outcomes = JSON.parse(runPython(script, [sparse]).toString().trim().split("\n").at(-1)!);
    for (const outcome of outcomes) expect(outcome).toMatch(/^(?:RuntimeError|ValueError)/);
  });

  it("loads the dense folder with exactly the pruned weights", () => {
    const script = `
import json, sys
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
source = load_file(sys.argv[1] + "/model.safetensors")
model = AutoModelForCausalLM.from_pretrained(sys.argv[2], dtype="auto")
loaded = model.state_dict()
different = []
for name, weight in source.items():
    expected = weight.clone()
    if name.endswith("_proj.weight"):
        drop = weight.shape[1] // 2
        order = torch.sort(weight.abs().float(), dim=1, stable=True).indices[:, :drop]
        expected.scatter_(1, order, 0)
    if not torch.equal(expected.view(torch.int16), loaded[name].view(torch.int16)):
        different.append(name)
ids = AutoTokenizer.from_pretrained(sys.argv[2])("one two three", return_tensors="pt").input_ids
finite = bool(torch.isfinite(model(ids).logits).all())
print(json.dumps({"different": different, "checked": len(source), "finite": finite}))
`;
    const { different, checked, finite } = JSON.parse(
      runPython(script, [MODEL, dense]).toString().trim().split("\n").at(-1)!,
    );
    expect(different).toEqual([]);
    expect(checked).toBe(38);
    expect(finite).toBe(true);
  });
});
