/** What users install: the packed package in an empty folder, as a command and as a library. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SHELL = process.platform === "win32";

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    shell: SHELL,
    // the optional engine's install script would look for a GPU library on the network
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" },
  });
  if (status !== 0)
    throw new Error(`${command} ${args.join(" ")}: exit ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

describe("the packed package in an empty folder", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "spinfer-pack-")));
  const model = join(folder, "node_modules/spinfer/models/demo");

  beforeAll(() => {
    run(
      "npm",
      ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", folder],
      ROOT,
    );
    const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
    writeFileSync(join(folder, "package.json"), '{"name":"user","private":true,"type":"module"}');
    run(
      "npm",
      ["install", "--no-audit", "--no-fund", "--loglevel=error", join(folder, tarball!)],
      folder,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("runs as a command", () => {
    const spinfer = join(folder, "node_modules/.bin/spinfer");
    expect(run(spinfer, ["version"], folder)).toMatch(/\d+\.\d+\.\d+/);
    run(spinfer, ["prune", model, "-o", "out", "--sparsity", "0.6", "--progress", "none"], folder);
    const result = JSON.parse(run(spinfer, ["verify", "out", "--level", "full", "--json"], folder));
    expect(result.ok).toBe(true);
  });

  it("works as a library", () => {
    const script = `
      import { defaultRecipe, executeRecipe, openModel, readTensor, verifyCheckpoint } from "spinfer";
      const report = await executeRecipe(${JSON.stringify(model)}, "library", defaultRecipe("prune"));
      const { ok } = await verifyCheckpoint("library", { level: "hash" });
      const opened = await openModel("library");
      const { entry, bytes } = readTensor(opened, "model.layers.0.mlp.up_proj.weight");
      console.log(JSON.stringify({ ok, packed: report.packed, shape: entry.shape, bytes: bytes.length }));
    `;
    writeFileSync(join(folder, "use.mjs"), script);
    const { ok, packed, shape, bytes } = JSON.parse(run(process.execPath, ["use.mjs"], folder));
    expect(ok).toBe(true);
    expect(packed).toBeGreaterThan(0);
    expect(bytes).toBe(shape[0] * shape[1] * 2);
  });

  it("has types that a strict project compiles", () => {
    const source = `
      import { type RunReport, SpInferError, executeRecipe, defaultRecipe } from "spinfer";
      const report: RunReport = await executeRecipe("a", "b", defaultRecipe("prune"), { threads: 1 });
      if (report.sparsity > 0.5) throw new SpInferError("E_MISMATCH", "too sparse");
    `;
    writeFileSync(join(folder, "use.ts"), source);
    const options = { strict: true, noEmit: true, module: "nodenext", target: "es2023", types: [] };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: ["use.ts"] }),
    );
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    run(process.execPath, [tsc, "-p", "tsconfig.json"], folder);
  });
});
