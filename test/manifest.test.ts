/** package.json keeps its promises. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { VERSION } from "../src/core/version.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));

describe("package.json", () => {
  it("has the version that the code reports", () => {
    expect(VERSION).toBe(manifest.version);
  });

  it("pins every dependency exactly", () => {
    for (const [name, range] of Object.entries({
      ...manifest.dependencies,
      ...manifest.optionalDependencies,
      ...manifest.devDependencies,
    })) {
      expect(range, name).toMatch(/^\d+\.\d+\.\d+(?:-\d+)?$/);
    }
  });

  it("runs no install script of a runtime dependency", () => {
    const scripted = Object.entries(
      lock.packages as Record<string, { hasInstallScript?: boolean; dev?: boolean }>,
    )
      .filter(([, { hasInstallScript, dev }]) => hasInstallScript === true && dev !== true)
      .map(([path]) => path.replace(/^node_modules\//, ""));
    expect(scripted).toEqual(Object.keys(manifest.optionalDependencies));
    for (const name of scripted) expect(manifest.allowScripts[name], name).toBe(false);
    // npm 10 does not know allowScripts
    const install = readFileSync(join(ROOT, "scripts/install.mjs"), "utf8");
    expect(install).toContain('ONNXRUNTIME_NODE_INSTALL: "skip"');
  });

  it("names no registry in the lock file", () => {
    expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toContain('"resolved"');
  });

  it("explains every runtime dependency in a decision", () => {
    const decision = readFileSync(join(ROOT, "docs/decisions/0001-packages.md"), "utf8");
    for (const name of Object.keys({
      ...manifest.dependencies,
      ...manifest.optionalDependencies,
    }))
      expect(decision).toContain(`\`${name}\``);
  });

  it("exports and runs files that the build makes", () => {
    const targets = [
      manifest.bin.spinfer,
      manifest.exports["."].types,
      manifest.exports["."].default,
    ];
    for (const target of [...targets, manifest.exports["./recipe.schema.json"]]) {
      expect(existsSync(join(ROOT, target)), target).toBe(true);
    }
  });

  it("packs what is needed to run and nothing else", () => {
    const { stdout } = spawnSync(
      "npm",
      ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=silent"],
      {
        cwd: ROOT,
        encoding: "utf8",
        shell: process.platform === "win32",
      },
    );
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    for (const needed of [
      "dist/src/cli/main.js",
      "dist/src/pipeline/work/worker.js",
      "dist/formats/tile-bitmap/wasm/tileBitmap.wasm",
      "dist/pruners/wasm/dense.wasm",
      "dist/pruners/wasm/select.wasm",
      "dist/src/core/wasm/half.wasm",
      "dist/src/pipeline/recipe/recipe.schema.json",
      "formats/tile-bitmap/SPEC.md",
      "models/demo/model.safetensors",
      "docs/errors/E_ST_TRUNCATED.md",
      "LICENSE",
      "README.md",
    ]) {
      expect(paths).toContain(needed);
    }
    expect(
      paths.filter(
        (path) => /^(?:test|scripts|kernels|src|pruners|\.)/.test(path) || path.endsWith(".map"),
      ),
    ).toEqual([]);
  });
});
