/** The native engine: its library found or missed, its threads, its turns, and what it does together. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Backend, LoadedPart } from "../../src/engine/backend.ts";
import type { ObservedInputs } from "../../src/engine/engine.ts";
import { openRunnable } from "../../src/engine/index.ts";
import { nativeBackend } from "../../src/engine/native/backend.ts";
import { fused } from "../../src/engine/native/fuse.ts";
import { openCpu } from "../../src/engine/native/library.ts";
import { planOf } from "../../src/engine/native/plan.ts";
import { INPUT, recordSteps } from "../../src/engine/native/steps.ts";
import { typescriptBackend } from "../../src/engine/typescript/backend.ts";
import { readDecoder } from "../../src/model/architectures/index.ts";
import type { Ops, Part } from "../../src/model/architectures/ops.ts";
import { weightsOf } from "../../src/model/architectures/survey.ts";
import { temporaryFolder } from "../helpers/models.ts";
import { refusal } from "../helpers/safetensorsFile.ts";
import { AVAILABLE_SETS, openWith } from "./availableEngines.ts";
import { relativeDifference, runBlocks } from "./checkpoints.ts";
import { CONFIG, randomFloats, randomModel } from "./memorySource.ts";

const HIDDEN = CONFIG.hidden_size;
const decoder = readDecoder(CONFIG, { has: () => true });

function loaded(part: Part): LoadedPart {
  const slots = weightsOf(part);
  const weights = slots.map(({ name, shape }, index) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [name, { shape, values: randomFloats(count, index + 2, 0.4) }] as const;
  });
  return { part, slots, weights: new Map(weights) };
}

describe("steps that are recorded", () => {
  const block = fused(recordSteps(decoder.block(0), HIDDEN));
  const worksOf = (observed: boolean, result: number | undefined) =>
    planOf(block, { observed, result }).steps.map(({ work }) => work.op);

  it("are done together where only the next one reads what comes out", () => {
    const attention = ["rmsNorm", "linear", "rotary", "linear", "rotary", "linear", "attention"];
    const mlp = ["rmsNorm", "linear", "linear", "activate", "linear"];
    expect(worksOf(false, block.result)).toEqual([...attention, "linear", ...mlp]);
  });

  it("are left out where nothing that is observed needs them", () => {
    const works = worksOf(true, undefined);
    expect(works.filter((op) => op === "observe")).toHaveLength(4);
    // all but the last: what it gives leaves the block
    expect(works.filter((op) => op === "linear")).toHaveLength(6);
    expect(works.at(-1)).toBe("observe");
  });

  it("neither write over what goes in nor over what another still reads", () => {
    for (const result of [undefined, block.result]) {
      const read = new Set<number>();
      const { steps } = planOf(block, { observed: true, result });
      for (const { reads, done, inPlaceOf } of [...steps].reverse()) {
        const ended = [...done, ...(inPlaceOf === undefined ? [] : [inPlaceOf])];
        for (const slot of ended) expect(read.has(slot) || slot === INPUT).toBe(false);
        for (const slot of reads) read.add(slot);
      }
    }
  });

  it("are refused where tensors do not fit", () => {
    const body = <Tensor>(ops: Ops<Tensor>, input: Tensor): Tensor =>
      ops.linear(input, { weight: "w", inputs: HIDDEN + 1, outputs: 4 });
    expect(() => recordSteps({ prefix: "head", body }, HIDDEN)).toThrow("tensors that do not fit");
  });
});

describe.runIf(AVAILABLE_SETS.length > 0)("the native engine", () => {
  const open = async (threads: number): Promise<Backend> =>
    nativeBackend(await openWith(AVAILABLE_SETS[0]!, threads));

  it("is the one that runs, without a warning", async () => {
    const warnings: string[] = [];
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, {
      onWarning: (message) => warnings.push(message),
    });
    expect(model.engine).toBe("native");
    expect(warnings).toEqual([]);
    await model.close();
  });

  it.each(AVAILABLE_SETS)("gives the same bits with any number of threads: %s", async (set) => {
    const config = { ...CONFIG, hidden_size: 96, intermediate_size: 272, vocab_size: 333 };
    const wide = readDecoder(config, { has: () => true });
    const [length, hidden] = [70, randomFloats(140 * 96, 8)];
    const targets = Int32Array.from({ length: 140 }, (_, i) => (i * 5) % 333);
    const results = await Promise.all(
      [1, 2, 3].map(async (threads) => {
        const backend = nativeBackend(await openWith(set, threads));
        const sums: ObservedInputs = new Map();
        const block = await backend.block(loaded(wide.block(0)), 96);
        const out = (await block.run(hidden, length, "gram", sums)).hidden;
        const head = await backend.head(loaded(wide.head), 96, 333);
        const losses = await head.score(out, targets);
        await backend.close();
        return { out, losses, sums: [...sums] };
      }),
    );
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it("takes more windows than go through a block at once, and one that is longer", async () => {
    const backends = [await open(2), typescriptBackend()];
    for (const [windows, length] of [
      [5, 450],
      [1, 1100],
    ] as const) {
      const hidden = randomFloats(windows * length * HIDDEN, 9);
      const [found, expected] = await Promise.all(
        backends.map(async (backend) => {
          const block = await backend.block(loaded(decoder.block(0)), HIDDEN);
          const sums: ObservedInputs = new Map();
          const out = (await block.run(hidden, length, "norms", sums)).hidden;
          return { out, sums: [...sums.values()] };
        }),
      );
      expect(relativeDifference(found!.out, expected!.out)).toBeLessThan(1e-5);
      for (const [index, { tokens, sums, squares }] of found!.sums.entries()) {
        expect(tokens).toBe(windows * length);
        expect(relativeDifference(squares, expected!.sums[index]!.squares)).toBeLessThan(1e-5);
        expect(relativeDifference(sums, expected!.sums[index]!.sums)).toBeLessThan(1e-4);
      }
    }
    await Promise.all(backends.map((backend) => backend.close()));
  });

  it("does what is asked at once in turn", async () => {
    const backend = await open(2);
    const [first, second] = await Promise.all(
      [0, 1].map((index) => backend.block(loaded(decoder.block(index)), HIDDEN)),
    );
    const states = [1, 2, 3, 4].map((seed) => randomFloats(24 * HIDDEN, seed));
    const runs = states.flatMap((hidden) =>
      [first!, second!].map((block) => block.run(hidden, 12, "none", new Map())),
    );
    const together = (await Promise.all(runs)).map(({ hidden }) => hidden);
    for (const [index, hidden] of states.entries()) {
      for (const [which, block] of [first!, second!].entries()) {
        const alone = await block.run(hidden, 12, "none", new Map());
        expect(together[2 * index + which]).toEqual(alone.hidden);
      }
    }
    await backend.close();
  });

  it("runs no block that was closed, and nothing after it was closed itself", async () => {
    const backend = await open(1);
    const [block, other] = [
      await backend.block(loaded(decoder.block(0)), HIDDEN),
      await backend.block(loaded(decoder.block(0)), HIDDEN),
    ];
    const hidden = randomFloats(4 * HIDDEN, 1);
    const running = block.run(hidden, 4, "none", new Map());
    await block.close();
    expect((await running).hidden).toHaveLength(hidden.length);
    const closed = await refusal(() => block.run(hidden, 4, "none", new Map()));
    expect([closed.code, closed.message]).toEqual(["E_INTERNAL", "the block is closed"]);
    await block.close();
    await other.run(hidden, 4, "none", new Map());
    await backend.close();
    const ended = await refusal(() => other.run(hidden, 4, "none", new Map()));
    expect([ended.code, ended.message]).toEqual(["E_INTERNAL", "the engine is closed"]);
    await other.close();
    await backend.close();
  });

  it("says which call the library refused", async () => {
    const context = await openWith(AVAILABLE_SETS[0]!);
    const x = new Float32Array(6);
    const error = await refusal(() =>
      context.exclusive((cpu) => cpu.call("spinfer_cpu_combine", 6, x, x, 6, 9, x)),
    );
    expect(error.code).toBe("E_INTERNAL");
    expect(error.message).toBe(
      "spinfer_cpu_combine(24 bytes, 24 bytes, 6, 9, 24 bytes) returned 1",
    );
    await context.close();
  });

  it("leaves the event loop its turns while a long call runs", async () => {
    const config = { ...CONFIG, hidden_size: 512, intermediate_size: 64, num_hidden_layers: 1 };
    const model = await openRunnable(config, randomModel(config).source, {
      ...{ prefer: "native", threads: 1 },
    });
    const ids = Int32Array.from({ length: 4096 }, (_, i) => i % 50);
    let done = false;
    const run = runBlocks(model, ids, 4096).finally(() => {
      done = true;
    });
    let turns = 0;
    while (!done) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await run;
    expect(turns).toBeGreaterThan(100);
    await model.close();
  });

  it.each(["linear and softcap", "linear with bias", "something else"])(
    "scores a head that ends in %s",
    async (kind) => {
      const body = <Tensor>(ops: Ops<Tensor>, input: Tensor): Tensor => {
        const bias = kind === "linear with bias" ? "b" : undefined;
        const sizes = { inputs: HIDDEN, outputs: 50 };
        const logits = ops.linear(input, { weight: "w", bias, ...sizes });
        if (kind === "linear and softcap") return ops.softcap(logits, 1.5);
        return kind === "linear with bias" ? logits : ops.scale(logits, 0.3);
      };
      const part: Part = { prefix: "", body };
      const hidden = randomFloats(1100 * HIDDEN, 5, 2);
      const targets = Int32Array.from({ length: 1100 }, (_, i) => (i % 7 === 0 ? -1 : i % 50));
      const [found, expected] = await Promise.all(
        [await open(2), typescriptBackend()].map(async (backend) => {
          const head = await backend.head(loaded(part), HIDDEN, 50);
          const losses = await head.score(hidden, targets);
          const logits = await head.logits(hidden);
          await head.close();
          await backend.close();
          return { losses, logits };
        }),
      );
      expect(relativeDifference(found!.logits, expected!.logits)).toBeLessThan(1e-5);
      for (const [row, target] of targets.entries()) {
        if (target === -1) expect(found!.losses[row]).toBeNaN();
        else expect(found!.losses[row]).toBeCloseTo(expected!.losses[row]!, 4);
      }
    },
  );

  it("is not used when its library is cut short or another one's", async () => {
    const bytes = readFileSync(process.execPath);
    const cut = join(temporaryFolder(), "libspinfer_cpu.so");
    writeFileSync(cut, bytes.subarray(0, 100_000));
    const short = await refusal(() => openCpu(1, { SPINFER_CPU_LIBRARY: cut }));
    expect(short.code).toBe("E_ENGINE_MISSING");
    expect(short.message).toContain("it is cut short, 100000 of at least ");
    const text = join(temporaryFolder(), "libspinfer_cpu.so");
    writeFileSync(text, "no library");
    const wrong = await refusal(() => openCpu(1, { SPINFER_CPU_LIBRARY: text }));
    expect(wrong.code).toBe("E_ENGINE_MISSING");
    expect(wrong.message).toContain("it does not load");
  });

  it("refuses an instruction set that there is not", async () => {
    const env = { ...process.env, SPINFER_CPU_INSTRUCTIONS: "sse9" };
    const error = await refusal(() => openCpu(1, env));
    expect(error.code).toBe("E_OPTION");
    expect(error.detail).toMatchObject({ found: '"sse9"', expected: "amx, avx512, avx2" });
  });
});

describe("the native engine, where its library is missing", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("is an error when it was asked for by name", async () => {
    vi.stubEnv("SPINFER_CPU_LIBRARY", "/nowhere/libspinfer_cpu.so");
    const { source } = randomModel(CONFIG);
    const error = await refusal(() => openRunnable(CONFIG, source, { prefer: "native" }));
    expect(error.code).toBe("E_ENGINE_MISSING");
    expect(error.detail.found).toContain("/nowhere/libspinfer_cpu.so");
    expect(error.detail.hint).toContain("npm run build:cpu");
  });

  it("is replaced by another, with a word to who named the library", async () => {
    vi.stubEnv("SPINFER_CPU_LIBRARY", "/nowhere/libspinfer_cpu.so");
    const warnings: string[] = [];
    const model = await openRunnable(CONFIG, randomModel(CONFIG).source, {
      onWarning: (message) => warnings.push(message),
    });
    expect(model.engine).toBe("onnxruntime");
    expect(warnings).toEqual([
      expect.stringMatching(/it is not there \(.*nowhere.*\); onnxruntime runs instead$/),
    ]);
    await model.close();
  });
});
