/** Masks of the pruners against the papers' formulas in NumPy and PyTorch, on the same statistics. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { ActivationStats, WeightMatrix } from "../../pruners/definePruner.ts";
import { pruners } from "../../pruners/index.ts";
import type { Pattern } from "../../pruners/pattern.ts";
import { finiteValues } from "../../pruners/weightValues.ts";
import { WEIGHT_DTYPES, type WeightDtype } from "../../src/core/dtype.ts";
import { floatBitsToBf16, floatBitsToFp16 } from "../../src/core/half.ts";
import { describePython, runPython } from "../helpers/python.ts";
import { createRandom, type Random } from "../helpers/random.ts";
import { wasmDense, wasmSelect } from "./kernels.ts";
import { randomInputs, statsOf } from "./stats.ts";
import { cloneWeights, emptyBits } from "./weights.ts";

const SCRIPT = fileURLToPath(new URL("./reference.py", import.meta.url));

/** Weights as trained ones are: a bell around zero, rows of different size, some exact zeros. */
function bellWeights(random: Random, rows: number, cols: number, dtype: WeightDtype): WeightMatrix {
  const bits = emptyBits(dtype, rows * cols);
  const float = new Float32Array(1);
  const word = new Uint32Array(float.buffer);
  for (let i = 0; i < bits.length; i++) {
    const size = 0.02 * (1 + (Math.floor(i / cols) % 5));
    float[0] = size * (random.next() + random.next() + random.next() - 1.5);
    if (random.chance(0.01)) float[0] = 0;
    const bit32 = word[0]!;
    bits[i] =
      dtype === "F16" ? floatBitsToFp16(bit32) : dtype === "BF16" ? floatBitsToBf16(bit32) : bit32;
  }
  return { name: "model.layers.0.mlp.up_proj.weight", rows, cols, dtype, bits };
}

interface Made {
  readonly weight: WeightMatrix;
  readonly stats: ActivationStats;
  readonly sparsity: number;
  readonly pattern: Pattern;
  /** What the script is told of sparsity and pattern. */
  readonly amount: object;
}

const TOKENS = 96;
const SAMPLES = 4;

function makeCase(seed: number, patterned = seed % 3 === 2): Made {
  const random = createRandom(7000 + seed);
  const [rows, cols] = [2 + random.int(40), 3 + random.int(150)];
  const weight = bellWeights(random, rows, cols, WEIGHT_DTYPES[seed % 3]!);
  if (seed % 5 === 0) weight.bits.fill(0, 0, cols); // a row of zeros
  const stats = statsOf(randomInputs(seed, TOKENS, cols), cols, SAMPLES);
  const m = 2 + random.int(7);
  const n = 1 + random.int(m - 1);
  const sparsity = random.pick([0.5, 0.6, 0.29, random.next()]);
  return {
    weight,
    stats,
    sparsity: patterned ? 0 : sparsity,
    pattern: patterned ? { kind: "n:m", n, m } : { kind: "unstructured" },
    amount: patterned ? { pattern: [n, m] } : { sparsity },
  };
}

function pruned(method: string, made: Made, options: Record<string, unknown>): WeightMatrix {
  const weight = cloneWeights(made.weight);
  const { sparsity, pattern } = made;
  const configured = pruners.get(method).configure({ sparsity, pattern }, options);
  configured.prune(weight, { kernels: wasmSelect, dense: wasmDense, stats: made.stats });
  return weight;
}

function ask(cases: readonly object[], arrays: readonly Float64Array[]): Buffer {
  const list = Buffer.from(JSON.stringify(cases));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(list.length);
  const input = Buffer.concat([length, list, ...arrays.map((array) => Buffer.from(array.buffer))]);
  return runPython(SCRIPT, [], { input });
}

/** Weights that are not zero; where the mask keeps a zero it does not matter which. */
function agreement(keep: Uint8Array, before: WeightMatrix, after: WeightMatrix): number {
  let same = 0;
  for (let i = 0; i < keep.length; i++) {
    same += before.bits[i] === 0 || (after.bits[i] !== 0) === (keep[i] === 1) ? 1 : 0;
  }
  return same / keep.length;
}

function compareMasks(
  method: string,
  count: number,
  optionsOf: (seed: number) => {
    readonly options: Record<string, unknown>;
    readonly told: object;
  },
  arraysOf: (made: Made) => readonly Float64Array[],
): void {
  const made = Array.from({ length: count }, (_, seed) => makeCase(seed));
  const cases = made.map(({ weight, amount }, seed) => ({
    method,
    shape: [weight.rows, weight.cols],
    ...amount,
    ...optionsOf(seed).told,
  }));
  const arrays = made.flatMap((one) => [finiteValues(one.weight), ...arraysOf(one)]);
  const masks = ask(cases, arrays);
  let at = 0;
  for (const [seed, one] of made.entries()) {
    const after = pruned(method, one, optionsOf(seed).options);
    const keep = masks.subarray(at, at + after.bits.length);
    at += keep.length;
    expect(agreement(keep, one.weight, after), `${method}, case ${seed}`).toBe(1);
  }
  expect(at).toBe(masks.length);
}

describePython("pruners against the papers' formulas in float64", () => {
  const scopeOf = (seed: number) => (seed % 2 === 0 ? "matrix" : "row");

  it("magnitude keeps the same weights", () => {
    const optionsOf = (seed: number) => ({
      options: { scope: scopeOf(seed) },
      told: { scope: scopeOf(seed) },
    });
    compareMasks("magnitude", 60, optionsOf, () => []);
  });

  it("Wanda keeps the same weights", () => {
    const optionsOf = (seed: number) => ({
      options: { scope: scopeOf(seed) },
      told: { scope: scopeOf(seed) },
    });
    compareMasks("wanda", 90, optionsOf, ({ stats }) => [stats.inputNorms!]);
  });

  it("RIA keeps the same weights", () => {
    const optionsOf = (seed: number) => {
      const exponent = seed % 4 === 3 ? 1 : 0.5;
      const scope = scopeOf(seed);
      return { options: { scope, exponent }, told: { scope, exponent } };
    };
    compareMasks("ria", 90, optionsOf, ({ stats }) => [stats.inputNorms!]);
  });

  it("DSnoT swaps the same weights, and does swap some", () => {
    const optionsOf = (seed: number) => {
      const cycles = seed % 4 === 1 ? 3 : 50;
      const threshold = seed % 2 === 0 ? 0.1 : 0.01;
      return {
        options: { cycles, update_threshold: threshold },
        told: { cycles, threshold, power: 1, tokens: TOKENS, samples: SAMPLES },
      };
    };
    compareMasks("dsnot", 60, optionsOf, ({ stats }) => [stats.inputNorms!, stats.inputSums!]);
    const made = makeCase(4, false);
    const [plain, refined] = [pruned("wanda", made, {}), pruned("dsnot", made, {})];
    expect(refined.bits.some((bits, i) => (bits === 0) !== (plain.bits[i] === 0))).toBe(true);
  });

  it("OWL shares the sparsity out as the paper does", () => {
    const random = createRandom(12);
    const settings = { sparsity: 0.7, ratio: 5, range: 0.08 };
    const blocks = Array.from({ length: 5 }, (_, block) =>
      ["self_attn.q_proj", "mlp.down_proj"].map((part, i) => {
        const cols = 64 + 32 * i;
        const weight = bellWeights(random, 48, cols, "BF16");
        const inputs = randomInputs(100 * block + i, TOKENS, cols);
        return {
          weight: { ...weight, name: `model.layers.${block}.${part}.weight` },
          stats: statsOf(inputs, cols, SAMPLES, ["inputNorms"]),
        };
      }),
    );
    const all = blocks.flat();
    const configured = pruners
      .get("wanda")
      .configure(
        { sparsity: settings.sparsity, pattern: { kind: "unstructured" } },
        { allocation: "owl", outlier_ratio: settings.ratio, outlier_range: settings.range },
      );
    const survey = configured.survey!;
    let state = survey.start(all.map(({ weight }) => weight));
    let decisions: Map<string, unknown> | undefined;
    while (decisions === undefined) {
      for (const { weight, stats } of all) {
        const found = survey.gather(weight, state, { kernels: wasmSelect, stats });
        survey.add(state, weight.name, found);
      }
      const after = survey.next(state);
      if ("decisions" in after) decisions = after.decisions;
      else state = after.round;
    }
    const shapes = blocks.map((block) => block.map(({ weight: { rows, cols } }) => [rows, cols]));
    const answer = ask(
      [{ method: "owl", shapes, ...settings }],
      [
        ...all.map(({ weight }) => finiteValues(weight)),
        ...all.map(({ stats }) => stats.inputNorms!),
      ],
    );
    const expected = Array.from({ length: 5 }, (_, i) => answer.readDoubleLE(8 * i));
    expect(Math.max(...expected) - Math.min(...expected)).toBeCloseTo(0.16, 9);
    for (const [block, members] of blocks.entries()) {
      for (const { weight, stats } of members) {
        const decision = decisions.get(weight.name) as { sparsity: number };
        expect(decision.sparsity).toBeCloseTo(expected[block]!, 12);
        const copy = cloneWeights(weight);
        configured.prune(copy, { kernels: wasmSelect, stats, decision });
        const kept = copy.bits.filter((bits) => bits !== 0).length;
        const zeros = weight.bits.filter((bits) => bits === 0).length;
        const dropped = weight.rows * Math.floor(weight.cols * expected[block]!);
        expect(Math.abs(weight.bits.length - dropped - kept)).toBeLessThanOrEqual(zeros);
      }
    }
  });

  it.each([
    [true, 1e-6],
    [false, 2e-2],
  ])("SparseGPT drops the same weights but for one in a thousand (exact: %s)", (exact, error) => {
    const shapes = [
      [64, 96],
      [96, 256],
      [128, 300],
      [200, 128],
    ] as const;
    const variants = [
      { amount: { sparsity: 0.5 }, pattern: { kind: "unstructured" } as Pattern, sparsity: 0.5 },
      { amount: { sparsity: 0.7 }, pattern: { kind: "unstructured" } as Pattern, sparsity: 0.7 },
      { amount: { pattern: [2, 4] }, pattern: { kind: "n:m", n: 2, m: 4 } as Pattern, sparsity: 0 },
    ];
    const made = shapes.flatMap(([rows, cols], i) =>
      variants.map((variant): Made => {
        const weight = bellWeights(createRandom(900 + i), rows, cols, "F32");
        const stats = statsOf(randomInputs(900 + i, 2 * cols, cols), cols, SAMPLES);
        return { weight, stats, ...variant };
      }),
    );
    const afters = made.map((one) => pruned("sparsegpt", one, {}));
    const answer = ask(
      made.map(({ weight, amount }) => ({
        ...{ method: "sparsegpt", shape: [weight.rows, weight.cols], block: 128, damping: 0.01 },
        ...{ ...amount, exact },
      })),
      made.flatMap((one, i) => [
        finiteValues(one.weight),
        one.stats.gram!,
        finiteValues(afters[i]!),
      ]),
    );
    let at = 0;
    for (const [i, { weight }] of made.entries()) {
      const [reference, ours] = [answer.readDoubleLE(at), answer.readDoubleLE(at + 8)];
      const keep = answer.subarray(at + 16, at + 16 + weight.bits.length);
      at += 16 + keep.length;
      expect(agreement(keep, weight, afters[i]!), `case ${i}`).toBeGreaterThanOrEqual(0.999);
      expect(Math.abs(ours / reference - 1), `case ${i}`).toBeLessThan(error);
    }
    expect(at).toBe(answer.length);
  });
});
