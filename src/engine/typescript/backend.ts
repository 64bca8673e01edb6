/** The plain engine: nothing but TypeScript, some fifty times slower than the library. */
import type { Backend, LoadedPart, ReadyBlock, ReadyHead } from "../backend.ts";
import type { LayerInputs, Observation, ObservedInputs } from "../engine.ts";
import { lossOf } from "./losses.ts";
import { type Matrix, multiplyTransposed, transposed } from "./matrix.ts";
import { plainOps } from "./ops.ts";

/** Rows whose logits are held at once. */
const HEAD_ROWS = 64;

export function typescriptBackend(): Backend {
  return {
    name: "typescript",
    block: async (loaded, hidden) => plainBlock(loaded, hidden),
    head: async (loaded, hidden, vocabulary) => plainHead(loaded, hidden, vocabulary),
    close: async () => undefined,
  };
}

function plainBlock(loaded: LoadedPart, columns: number): ReadyBlock {
  return {
    async run(hidden, length, observe, sums) {
      const rows = hidden.length / columns;
      const out = new Float32Array(hidden.length);
      // a window at a time: memory does not grow with the batch, and the event loop gets a turn
      for (let row = 0; row < rows; row += length) {
        await new Promise((resolve) => setImmediate(resolve));
        const values = hidden.subarray(row * columns, (row + length) * columns);
        const made = runPart(loaded, { rows: length, columns, values }, length, observe, sums);
        out.set(made.values, row * columns);
      }
      return { hidden: out, observed: sums };
    },
    async observe(hidden, length, observe, sums) {
      await this.run(hidden, length, observe, sums);
    },
    close: async () => undefined,
  };
}

/** Runs a part over windows of `length`; adds what is observed to `observed`. */
export function runPart(
  { part, weights, halves }: Pick<LoadedPart, "part" | "weights" | "halves">,
  input: Matrix,
  length: number,
  observe: Observation = "none",
  observed: ObservedInputs = new Map(),
): Matrix {
  // layers that read the same input share its sums: those of this run are added to those before
  const seen = new Map<Matrix, LayerInputs>();
  const ops = plainOps({
    tokens: input.rows,
    length,
    weights,
    halves,
    onInput(weight, read) {
      if (observe === "none") return;
      const name = part.prefix + weight;
      const sums = seen.get(read) ?? added(observed.get(name), sumsOf(read, observe));
      seen.set(read, sums);
      observed.set(name, sums);
    },
  });
  return part.body(ops, input);
}

function sumsOf(input: Matrix, observe: Observation): LayerInputs {
  const { rows, columns, values } = input;
  const sums = new Float64Array(columns);
  for (let i = 0; i < values.length; i++) sums[i % columns]! += values[i]!;
  if (observe === "gram") {
    const gram = gramOf(input);
    const squares = Float64Array.from({ length: columns }, (_, i) => gram[(i * (i + 3)) / 2]!);
    return { tokens: rows, squares, sums, gram };
  }
  const squares = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      squares[column]! += values[row * columns + column]! ** 2;
    }
  }
  return { tokens: rows, squares, sums };
}

function gramOf({ rows, columns, values }: Matrix): Float64Array {
  const turned = transposed(values, rows, columns);
  const product = multiplyTransposed(
    { rows: columns, columns: rows, values: turned },
    turned,
    columns,
  );
  const triangle = new Float64Array((columns * (columns + 1)) / 2);
  for (let i = 0; i < columns; i++)
    triangle.set(product.values.subarray(i * columns, i * columns + i + 1), (i * (i + 1)) / 2);
  return triangle;
}

function added(left: LayerInputs | undefined, right: LayerInputs): LayerInputs {
  if (left === undefined) return right;
  const sum = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);
  return {
    tokens: left.tokens + right.tokens,
    squares: sum(left.squares, right.squares),
    sums: sum(left.sums, right.sums),
    ...(left.gram === undefined ? {} : { gram: sum(left.gram, right.gram!) }),
  };
}

function plainHead(loaded: LoadedPart, columns: number, vocabulary: number): ReadyHead {
  const logitsOf = (hidden: Float32Array, first: number, last: number): Float32Array => {
    const values = hidden.subarray(first * columns, last * columns);
    return runPart(loaded, { rows: last - first, columns, values }, last - first).values;
  };
  return {
    async logits(hidden) {
      return logitsOf(hidden, 0, hidden.length / columns);
    },
    async score(hidden, targets) {
      const losses = new Float64Array(targets.length);
      for (let first = 0; first < targets.length; first += HEAD_ROWS) {
        await new Promise((resolve) => setImmediate(resolve));
        const last = Math.min(first + HEAD_ROWS, targets.length);
        const logits = logitsOf(hidden, first, last);
        for (let row = first; row < last; row++) {
          const at = (row - first) * vocabulary;
          losses[row] = lossOf(logits.subarray(at, at + vocabulary), targets[row]!);
        }
      }
      return losses;
    },
    close: async () => undefined,
  };
}
