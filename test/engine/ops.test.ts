/** Every op on every engine: the numbers of the fast ones beside the plain ones. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/engine/backend.ts";
import { nativeBackend } from "../../src/engine/native/backend.ts";
import { onnxBackend } from "../../src/engine/onnxruntime/backend.ts";
import { startHost } from "../../src/engine/onnxruntime/workerHost.ts";
import { typescriptBackend } from "../../src/engine/typescript/backend.ts";
import { erf } from "../../src/engine/typescript/elementwise.ts";
import { dot, multiplyTransposed } from "../../src/engine/typescript/matrix.ts";
import type { Activation, AttentionSpec, Ops, Part } from "../../src/model/architectures/ops.ts";
import { readRotary } from "../../src/model/architectures/rotary.ts";
import { Settings } from "../../src/model/architectures/settings.ts";
import { weightsOf } from "../../src/model/architectures/survey.ts";
import { AVAILABLE_SETS, openWith } from "./availableEngines.ts";
import { relativeDifference } from "./checkpoints.ts";
import { randomFloats } from "./memorySource.ts";

/** Columns of what goes in and comes out; heads of 8. */
const WIDTH = 48;

type Body = <Tensor>(ops: Ops<Tensor>, input: Tensor) => Tensor;

const rope = new Settings({ rope_theta: 500 });
const whole = readRotary(rope, rope, { headSize: 8, positions: 64 });
const half = readRotary(rope, rope, { headSize: 8, positions: 64, share: 0.5, partial: true });

const attention =
  (spec: Partial<AttentionSpec>): Body =>
  (ops, input) => {
    const full = { heads: 6, keyHeads: 2, headSize: 8, scale: 0.9, ...spec };
    const keys = (weight: string) =>
      ops.linear(input, { weight, inputs: WIDTH, outputs: full.keyHeads * 8 });
    return ops.attention(input, keys("keys"), keys("values"), full);
  };

const activation =
  (name: Activation): Body =>
  (ops, input) =>
    ops.activate(ops.scale(input, 3), name);

const BODIES: Readonly<Record<string, Body>> = {
  linear: (ops, input) => ops.linear(input, { weight: "w", inputs: WIDTH, outputs: WIDTH }),
  "linear with bias": (ops, input) =>
    ops.linear(input, { weight: "w", bias: "b", inputs: WIDTH, outputs: WIDTH }),
  "linear, inputs first": (ops, input) => {
    const wide = ops.linear(input, { weight: "u", inputs: WIDTH, outputs: 40, layout: "in-out" });
    return ops.linear(wide, { weight: "w", inputs: 40, outputs: WIDTH, layout: "in-out" });
  },
  "norm of squares": (ops, input) =>
    ops.rmsNorm(input, { weight: "w", size: WIDTH, epsilon: 1e-3 }),
  "norm of squares, one added": (ops, input) =>
    ops.rmsNorm(input, { weight: "w", size: WIDTH, epsilon: 1e-3, addOne: true }),
  "norm of squares of each head": (ops, input) =>
    ops.rmsNorm(input, { weight: "w", size: 8, epsilon: 1e-3 }),
  "layer norm": (ops, input) =>
    ops.layerNorm(input, { weight: "w", bias: "b", size: WIDTH, epsilon: 1e-3 }),
  "layer norm without weights": (ops, input) =>
    ops.layerNorm(input, { size: WIDTH, epsilon: 1e-3 }),
  rotary: (ops, input) => ops.rotary(input, { headSize: 8, table: whole }),
  "rotary of half a head": (ops, input) => ops.rotary(input, { headSize: 8, table: half }),
  attention: attention({}),
  "attention, a key for each query": attention({ keyHeads: 6 }),
  "attention in a window": attention({ window: 7 }),
  "attention in a window longer than a run of queries": attention({ window: 140 }),
  "attention with capped scores": attention({ softcap: 0.7 }),
  silu: activation("silu"),
  gelu: activation("gelu"),
  "gelu by tanh": activation("gelu-tanh"),
  relu: activation("relu"),
  add: (ops, input) => ops.add(input, ops.scale(input, -0.25)),
  multiply: (ops, input) => ops.multiply(input, ops.scale(input, -0.25)),
  "a sum of two linears": (ops, input) => {
    const linear = (weight: string) => ops.linear(input, { weight, inputs: WIDTH, outputs: WIDTH });
    return ops.add(linear("v"), linear("w"));
  },
  "a linear added to what it reads": (ops, input) => {
    const normed = ops.layerNorm(input, { size: WIDTH, epsilon: 1e-3 });
    const bent = ops.linear(normed, { weight: "w", bias: "b", inputs: WIDTH, outputs: WIDTH });
    return ops.add(bent, normed);
  },
  "a linear that two read": (ops, input) => {
    const bent = ops.linear(input, { weight: "w", inputs: WIDTH, outputs: WIDTH });
    return ops.multiply(ops.add(input, bent), bent);
  },
  "a gate on the right": (ops, input) => ops.multiply(input, ops.activate(input, "silu")),
  "a gate that two read": (ops, input) => {
    const gate = ops.activate(input, "gelu");
    return ops.add(ops.multiply(gate, input), gate);
  },
  softcap: (ops, input) => ops.softcap(ops.scale(input, 4), 1.5),
  columns: (ops, input) => {
    const part = (begin: number) =>
      ops.columns(input, { groups: 1, width: WIDTH, begin, end: begin + 24 });
    const sum = ops.multiply(part(0), part(24));
    return ops.linear(sum, { weight: "w", inputs: 24, outputs: WIDTH });
  },
  "columns of groups": (ops, input) => {
    const part = (begin: number) =>
      ops.columns(input, { groups: 4, width: 12, begin, end: begin + 6 });
    const sum = ops.multiply(part(0), part(6));
    return ops.linear(sum, { weight: "w", inputs: 24, outputs: WIDTH });
  },
};

function loadedPart(body: Body) {
  const part: Part = { prefix: "", body };
  const slots = weightsOf(part);
  const weights = () =>
    new Map(
      slots.map(({ name, shape }, index) => {
        const count = shape.reduce((product, size) => product * size, 1);
        return [name, { shape, values: randomFloats(count, index + 5, 0.5) }];
      }),
    );
  return () => ({ part, slots, weights: weights() });
}

const FAST: Readonly<Record<string, () => Promise<Backend>>> = {
  onnxruntime: async () => onnxBackend(await startHost(1)),
  ...Object.fromEntries(
    AVAILABLE_SETS.map((set) => [`native, ${set}`, async () => nativeBackend(await openWith(set))]),
  ),
};

describe.each(Object.keys(FAST))("ops on %s beside the plain ones", (engine) => {
  // 300 tokens: two whole runs of queries and a part of one
  it.each(Object.keys(BODIES).flatMap((name) => [[name, 1, 300] as const, [name, 3, 20] as const]))(
    "%s, %i windows of %i",
    async (name, windows, length) => {
      const loaded = loadedPart(BODIES[name]!);
      const input = randomFloats(windows * length * WIDTH, 1);
      const given = input.slice();
      const outputs: Float32Array[] = [];
      for (const backend of [await FAST[engine]!(), typescriptBackend()]) {
        const block = await backend.block(loaded(), WIDTH);
        outputs.push((await block.run(input, length, "none", new Map())).hidden);
        await block.close();
        await backend.close();
      }
      expect(input).toEqual(given);
      expect(relativeDifference(outputs[0]!, outputs[1]!)).toBeLessThan(3e-6);
      expect(outputs[1]!.some((value) => Math.abs(value) > 0.1)).toBe(true);
    },
  );
});

describe("the plain product", () => {
  it.each([
    [1, 1, 1],
    [2, 4, 8],
    [5, 7, 3],
    [6, 9, 64],
  ])("of %i × %i over %i is that of its rows", (rows, columns, inner) => {
    const left = { rows, columns: inner, values: randomFloats(rows * inner, 1) };
    const right = randomFloats(columns * inner, 2);
    const bias = randomFloats(columns, 3);
    const product = multiplyTransposed(left, right, columns, bias);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const sum = dot(left.values, row * inner, right, column * inner, inner) + bias[column]!;
        expect(product.values[row * columns + column]).toBeCloseTo(sum, 6);
      }
    }
  });
});

describe("the error function", () => {
  it.each([
    [0, 0],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2.4, 0.9993114861033549],
    [2.6, 0.9997639655834707],
    [-3, -0.9999779095030014],
    [7, 1],
  ])("of %f", (x, expected) => {
    expect(erf(x)).toBeCloseTo(expected, 14);
  });
});
