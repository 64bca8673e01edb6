/**
 * What every pruner promises, whatever it does; each pruner's own test file runs it for each of its
 * variants. A pruner that joins the list needs no more than this to be trusted by the pipeline.
 */
import { describe, expect, it } from "vitest";
import type {
  Amount,
  ConfiguredPruner,
  PruneContext,
  Pruner,
  WeightMatrix,
} from "../../pruners/definePruner.ts";
import { plainDense } from "../../pruners/denseKernels.ts";
import { keptByPattern, UNSTRUCTURED } from "../../pruners/pattern.ts";
import { plainSelect, type SelectKernels } from "../../pruners/select.ts";
import { WEIGHT_DTYPES } from "../../src/core/dtype.ts";
import { createRandom } from "../helpers/random.ts";
import { allSelects, wasmDense, wasmSelect } from "../pruners/kernels.ts";
import { randomStats } from "../pruners/stats.ts";
import {
  cloneWeights,
  countKept,
  emptyBits,
  expectSameBits,
  INFINITY_BITS,
  keyOf,
  randomWeights,
} from "../pruners/weights.ts";

export interface PrunerVariant {
  readonly label: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** N and M, for variants with a pattern. */
  readonly pattern?: readonly [number, number];
  /** Whether rows are pruned apart, so that blocks of rows give what the whole matrix gives. */
  readonly rowLocal: boolean;
}

const SHAPES: readonly (readonly [number, number])[] = [
  ...([
    [1, 1],
    [1, 7],
    [7, 1],
    [3, 5],
    [16, 64],
    [33, 65],
    [40, 100],
    [128, 31],
  ] as const),
  ...([
    [2, 2],
    [5, 333],
    [300, 20],
    [130, 260],
  ] as const),
];
/** The first gives nothing to drop, the next few at most, the last everything. */
const SPARSITIES = [0, 1e-9, 0.01, 0.29, 0.5, 0.6, 0.75, 0.99, 1];

/** Configures, surveys when the pruner asks for it, and prunes the matrices in place. */
export function pruneAll(
  configured: ConfiguredPruner,
  weights: readonly WeightMatrix[],
  kernels: SelectKernels = plainSelect,
): void {
  const contextOf = ({ cols }: WeightMatrix): PruneContext => ({
    kernels,
    dense: kernels === wasmSelect ? wasmDense : plainDense,
    stats: randomStats(cols, configured.needs),
  });
  const decisions = decide(configured, weights, contextOf);
  for (const weight of weights) {
    configured.prune(weight, { ...contextOf(weight), decision: decisions.get(weight.name) });
  }
}

function decide(
  { survey }: ConfiguredPruner,
  weights: readonly WeightMatrix[],
  contextOf: (weight: WeightMatrix) => PruneContext,
): Map<string, unknown> {
  if (survey === undefined) return new Map();
  let state = survey.start(weights);
  for (;;) {
    // as between worker threads: state and counts are plain data
    const sent = structuredClone(state);
    for (const weight of weights) {
      survey.add(
        state,
        weight.name,
        structuredClone(survey.gather(weight, sent, contextOf(weight))),
      );
    }
    const after = survey.next(state);
    if ("decisions" in after) return after.decisions;
    state = after.round;
  }
}

export function prunerContract(pruner: Pruner, variants: readonly PrunerVariant[]): void {
  describe(`contract: ${pruner.name}`, () => {
    it("has a name for the command line and a sentence for help", () => {
      expect(pruner.name).toMatch(/^[a-z][a-z0-9-]*$/);
      expect(pruner.summary).toMatch(/^[a-z].*[^.]$/);
    });

    it("refuses an option it does not have, with the nearest name", () => {
      const known = pruner.optionNames[0];
      const amount: Amount = { sparsity: 0.5, pattern: UNSTRUCTURED };
      expect(() => pruner.configure(amount, { [`${known}x`]: 1 })).toThrow(
        expect.objectContaining({
          code: "E_OPTION",
          message: `method ${pruner.name} has no option "${known}x"`,
          detail: expect.objectContaining({ hint: `did you mean "${known}"?` }),
        }),
      );
      expect(() => pruner.configure(amount, { qqqqqqqqqqqq: 1 })).toThrow(
        expect.objectContaining({
          code: "E_OPTION",
          detail: expect.objectContaining({
            hint: undefined,
            expected: pruner.optionNames.join(", "),
          }),
        }),
      );
    });

    it("records its options with their defaults", () => {
      const configured = pruner.configure({ sparsity: 0.5, pattern: UNSTRUCTURED }, {});
      expect(Object.keys(configured.options).sort()).toEqual([...pruner.optionNames].sort());
      expect(configured.needs).toEqual(pruner.needs);
    });

    describe.each(variants)("$label", (variant) => variantContract(pruner, variant));
  });
}

function variantContract(pruner: Pruner, variant: PrunerVariant): void {
  const { options, pattern, rowLocal } = variant;
  const configure = (sparsity: number): ConfiguredPruner => {
    const amount: Amount =
      pattern === undefined
        ? { sparsity, pattern: UNSTRUCTURED }
        : { sparsity, pattern: { kind: "n:m", n: pattern[0], m: pattern[1] } };
    return pruner.configure(amount, options);
  };
  const sparsities = pattern === undefined ? SPARSITIES : [0.5];

  describe.each(WEIGHT_DTYPES)("%s", (dtype) => {
    it("NU-01 leaves exactly as many as it says, at any shape and sparsity", () => {
      for (const [rows, cols] of SHAPES) {
        for (const sparsity of sparsities) {
          const weight = randomWeights(createRandom(rows * cols), rows, cols, dtype, 50);
          const configured = configure(sparsity);
          const { most, expected } = configured.expectNonzeros(rows, cols);
          pruneAll(configured, [weight]);
          const what = `${rows} × ${cols} at ${sparsity}`;
          expect(countKept(weight.bits), what).toBe(expected);
          expect(expected, what).toBeLessThanOrEqual(most);
          if (pattern !== undefined) {
            expect(expected, what).toBe(rows * keptByPattern(cols, ...pattern));
          }
        }
      }
    });

    it("drops nothing at sparsity 0 and everything at 1", () => {
      if (pattern !== undefined) return;
      const weight = randomWeights(createRandom(1), 20, 30, dtype);
      const before = weight.bits.slice();
      pruneAll(configure(0), [weight]);
      expectSameBits(weight.bits, before, "sparsity 0");
      pruneAll(configure(1), [weight]);
      expect(countKept(weight.bits)).toBe(0);
    });

    it("leaves what it keeps as it was, and writes +0.0 for what it drops", () => {
      const weight = randomWeights(createRandom(2), 30, 50, dtype);
      const before = weight.bits.slice();
      pruneAll(configure(0.5), [weight]);
      if (pruner.updates) {
        const infinity = INFINITY_BITS[dtype];
        const odd = weight.bits.findIndex((bits) => keyOf(bits, dtype) >= infinity);
        expect(odd, "an update that is not finite").toBe(-1);
        expect(weight.bits.some((bits) => bits !== 0 && keyOf(bits, dtype) === 0)).toBe(false);
        return;
      }
      const changed = weight.bits.findIndex((bits, i) => bits !== before[i] && bits !== 0);
      expect(changed).toBe(-1);
    });

    it("does the same again, whatever was pruned in between", () => {
      const weight = randomWeights(createRandom(3), 37, 53, dtype, 20);
      const [first, second] = [cloneWeights(weight), cloneWeights(weight)];
      pruneAll(configure(0.6), [first], wasmSelect);
      pruneAll(configure(0.3), [randomWeights(createRandom(4), 90, 700, dtype)], wasmSelect);
      pruneAll(configure(0.6), [second], wasmSelect);
      expectSameBits(second.bits, first.bits, "the second run");
    });

    it("gives the same with plain and with WebAssembly kernels", () => {
      for (const [rows, cols] of SHAPES) {
        for (const distinct of [3, Number.POSITIVE_INFINITY]) {
          const weight = randomWeights(createRandom(5 + cols), rows, cols, dtype, distinct);
          const results = allSelects.map((kernels) => {
            const copy = cloneWeights(weight);
            pruneAll(configure(0.5), [copy], kernels);
            return copy.bits;
          });
          expectSameBits(results[1]!, results[0]!, `${rows} × ${cols}`);
        }
      }
    });

    it("NU-02 counts exactly where all weights are equal, or all zero", () => {
      for (const value of [0, 1, 0x3c00]) {
        const [rows, cols] = [24, 36];
        const bits = emptyBits(dtype, rows * cols).fill(value);
        const configured = configure(0.5);
        pruneAll(configured, [{ name: "a.weight", rows, cols, dtype, bits }]);
        const { expected } = configured.expectNonzeros(rows, cols);
        expect(countKept(bits)).toBe(value === 0 ? 0 : expected);
      }
    });

    it("keeps NaN and infinity, with their signs and payloads", () => {
      const weight = randomWeights(createRandom(6), 32, 96, dtype);
      const infinity = INFINITY_BITS[dtype];
      const sign = dtype === "F32" ? 2 ** 31 : 2 ** 15;
      const odd = [infinity, infinity + sign, infinity + 1, sign - 1, 2 * sign - 1];
      // one in each group of 32, so that no pattern is too narrow to keep them
      for (let i = 0; i < 96; i++) weight.bits[32 * i + ((7 * i) % 32)] = odd[i % odd.length]!;
      const before = weight.bits.slice();
      pruneAll(configure(0.9), [weight]);
      const lost = before.findIndex(
        (bits, i) => keyOf(bits, dtype) >= infinity && weight.bits[i] !== bits,
      );
      expect(lost).toBe(-1);
    });

    if (rowLocal) {
      it("gives the same when rows come in blocks", () => {
        for (const [rows, cols] of SHAPES) {
          const whole = randomWeights(createRandom(8), rows, cols, dtype, 40);
          const blocks = cloneWeights(whole);
          pruneAll(configure(0.5), [whole]);
          for (let begin = 0; begin < rows; begin += 3) {
            const end = Math.min(begin + 3, rows);
            const bits = blocks.bits.subarray(begin * cols, end * cols);
            pruneAll(configure(0.5), [{ ...blocks, rows: end - begin, bits }], wasmSelect);
          }
          expectSameBits(blocks.bits, whole.bits, `${rows} × ${cols}`);
        }
      });
    }
  });
}
