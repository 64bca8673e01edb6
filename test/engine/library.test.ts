/**
 * onnxruntime: used wherever it is installed, missed with a warning, and in a thread of its own.
 * Where its package is installed and it still does not load, these tests fail.
 */
import { createRequire } from "node:module";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type * as Engine from "../../src/engine/index.ts";
import { openRunnable } from "../../src/engine/index.ts";
import { runBlocks } from "./checkpoints.ts";
import { CONFIG, randomModel } from "./memorySource.ts";

const BUILT = "../../dist/src/engine/index.js";
const require = createRequire(import.meta.url);

function isInstalled(): boolean {
  try {
    require.resolve("onnxruntime-node/package.json");
    return true;
  } catch {
    return false;
  }
}

/** Without the faster one onnxruntime is what is looked for. */
beforeEach(() => vi.stubEnv("SPINFER_CPU_LIBRARY", "/nowhere/libspinfer_cpu.so"));
afterEach(() => vi.unstubAllEnvs());

describe.runIf(isInstalled())("onnxruntime, which is installed", () => {
  it("is the engine that runs where the native one is not there", async () => {
    const warnings: string[] = [];
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, {
      onWarning: (message) => warnings.push(message),
    });
    expect(model.engine).toBe("onnxruntime");
    expect(warnings.join()).not.toContain("plain engine");
    await model.close();
  });

  it("is of the version that package.json names", () => {
    const { version } = require("onnxruntime-node/package.json");
    expect(version).toBe(require("../../package.json").optionalDependencies["onnxruntime-node"]);
  });

  it("runs in a thread of its own: the same numbers, and the event loop goes on", async () => {
    const { openRunnable: openBuilt }: typeof Engine = await import(BUILT);
    const config = { ...CONFIG, hidden_size: 256, intermediate_size: 2048, num_hidden_layers: 1 };
    const { source } = randomModel(config);
    const ids = Int32Array.from({ length: 1024 }, (_, i) => i % 50);
    const inside = await openRunnable(config, source, { prefer: "onnxruntime", threads: 1 });
    const expected = await runBlocks(inside, ids, 1024);
    await inside.close();
    const model = await openBuilt(config, source, { prefer: "onnxruntime", threads: 1 });
    const hidden = await model.embed(ids, 1024);
    const block = await model.openBlock(0);
    await block.run(hidden, 1024); // its session is made
    let done = false;
    const run = block.run(hidden, 1024).then((output) => {
      done = true;
      return output;
    });
    let turns = 0;
    while (!done) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await run).hidden).toEqual(expected);
    // a run that blocks leaves a handful of turns, one that does not leaves thousands
    expect(turns).toBeGreaterThan(100);
    await model.close();
  });

  it("says what went wrong in its thread", async () => {
    const { openRunnable: openBuilt }: typeof Engine = await import(BUILT);
    const model = await openBuilt(CONFIG, randomModel(CONFIG).source, { prefer: "onnxruntime" });
    const block = await model.openBlock(0);
    await block.close();
    const hidden = new Float32Array(4 * CONFIG.hidden_size);
    await expect(block.run(hidden, 4)).rejects.toMatchObject({ code: "E_INTERNAL" });
    await model.close();
    await expect(model.openBlock(0)).rejects.toMatchObject({ message: "the engine is closed" });
  });
});

describe("onnxruntime, where it is missing", () => {
  afterEach(() => {
    vi.doUnmock("../../src/engine/onnxruntime/import.ts");
    vi.resetModules();
  });

  const withoutLibrary = async (error: Error): Promise<typeof Engine> => {
    vi.resetModules();
    vi.doMock("../../src/engine/onnxruntime/import.ts", () => ({
      importLibrary: () => Promise.reject(error),
    }));
    return import("../../src/engine/index.ts");
  };
  const missing = Object.assign(new Error("Cannot find package"), {
    code: "ERR_MODULE_NOT_FOUND",
  });

  it("is replaced by the plain engine, with a warning and how long that takes", async () => {
    const engine = await withoutLibrary(missing);
    const warnings: string[] = [];
    const model = await engine.openRunnable(CONFIG, randomModel(CONFIG).source, {
      onWarning: (message) => warnings.push(message),
    });
    expect(model.engine).toBe("typescript");
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain("it is not installed; the plain engine runs instead");
    expect(warnings[0]).toContain("ONNXRUNTIME_NODE_INSTALL=skip npm install");
    expect(warnings[1]).toMatch(/takes about \S+ \S+ for 1000 tokens/);
  });

  it("is an error when it was asked for by name", async () => {
    const { openRunnable: open } = await withoutLibrary(missing);
    const { source } = randomModel(CONFIG);
    await expect(open(CONFIG, source, { prefer: "onnxruntime" })).rejects.toMatchObject({
      code: "E_ENGINE_MISSING",
    });
  });

  it("says why it cannot be loaded", async () => {
    const engine = await withoutLibrary(new Error("libonnxruntime.so.1: wrong ELF class\nmore"));
    const { source } = randomModel(CONFIG);
    const opened = engine.openRunnable(CONFIG, source, { prefer: "onnxruntime" });
    await expect(opened).rejects.toThrow("cannot be loaded: libonnxruntime.so.1: wrong ELF class");
  });
});
