/** The fast engine: each part of the model as an ONNX graph, run by onnxruntime in its own thread. */
import { createHash } from "node:crypto";
import type { Backend, LoadedPart, ReadyBlock, ReadyHead } from "../backend.ts";
import type { BlockOutput, LayerInputs, Observation, Scores } from "../engine.ts";
import {
  BEST,
  type BlockGraph,
  blockGraph,
  HIDDEN_IN,
  HIDDEN_OUT,
  LOGITS,
  LOSSES,
  logitsGraph,
  scoreGraph,
  TARGETS,
} from "./graphs.ts";
import type { HostTensor, SessionHost } from "./sessionHost.ts";
import { POSITIONS } from "./traceOps.ts";

/** Tokens that go through a block in one run: short windows go together. */
const TOKENS_PER_RUN = 2048;
/** Rows whose logits are held at once. */
const HEAD_ROWS = 128;

export function onnxBackend(host: SessionHost): Backend {
  /** By the hash of the model: blocks of the same structure share a session. */
  const sessions = new Map<string, Promise<number>>();
  const sessionOf = (model: Uint8Array, constants: readonly HostTensor[]): Promise<number> => {
    const key = createHash("sha256").update(model).digest("hex");
    const known = sessions.get(key) ?? host.addSession(model, constants);
    sessions.set(key, known);
    return known;
  };
  return {
    name: "onnxruntime",
    block: (loaded, hidden) => onnxBlock(host, sessionOf, loaded, hidden),
    head: (loaded, hidden, vocabulary) => onnxHead(host, sessionOf, loaded, hidden, vocabulary),
    close: () => host.close(),
  };
}

type SessionOf = (model: Uint8Array, constants: readonly HostTensor[]) => Promise<number>;

function keepWeights(host: SessionHost, { weights }: LoadedPart): Promise<number> {
  return host.addWeights(
    [...weights].map(([name, { shape, values }]) => ({ name: `weight:${name}`, shape, values })),
  );
}

async function onnxBlock(
  host: SessionHost,
  sessionOf: SessionOf,
  loaded: LoadedPart,
  columns: number,
): Promise<ReadyBlock> {
  const weights = await keepWeights(host, loaded);
  const graphs = new Map<string, { graph: BlockGraph; session: number }>();
  const graphOf = async (length: number, observe: Observation) => {
    const key = `${length} ${observe}`;
    const known = graphs.get(key);
    if (known !== undefined) return known;
    const graph = blockGraph(loaded.part, loaded.slots, columns, length, observe);
    const made = { graph, session: await sessionOf(graph.model, graph.constants) };
    graphs.set(key, made);
    return made;
  };
  return {
    async run(hidden, length, observe) {
      const { graph, session } = await graphOf(length, observe);
      const windows = hidden.length / columns / length;
      const together = Math.max(1, Math.floor(TOKENS_PER_RUN / length));
      const out = new Float32Array(hidden.length);
      const observed = new Map<string, LayerInputs>();
      for (let first = 0; first < windows; first += together) {
        const count = Math.min(together, windows - first);
        const begin = first * length * columns;
        const values = hidden.slice(begin, begin + count * length * columns);
        const made = await host.run({
          session,
          weights,
          inputs: inputsOf(values, columns, count, length, graph.usesPositions),
          outputs: outputsOf(graph, observe, count, length, columns),
        });
        out.set(made[0]!.values as Float32Array, begin);
        addObserved(observed, graph, made.slice(1), observe, count * length);
      }
      return { hidden: out, observed } satisfies BlockOutput;
    },
    close: () => host.dropWeights(weights),
  };
}

function inputsOf(
  values: Float32Array,
  columns: number,
  windows: number,
  length: number,
  usesPositions: boolean,
): HostTensor[] {
  const hidden: HostTensor = { name: HIDDEN_IN, shape: [windows * length, columns], values };
  if (!usesPositions) return [hidden];
  const positions = new BigInt64Array(windows * length);
  for (let i = 0; i < positions.length; i++) positions[i] = BigInt(i % length);
  return [hidden, { name: POSITIONS, shape: [windows, length], values: positions }];
}

function outputsOf(
  { observed }: BlockGraph,
  observe: Observation,
  windows: number,
  length: number,
  hidden: number,
) {
  return [
    { name: HIDDEN_OUT, shape: [windows * length, hidden], type: "float32" as const },
    ...observed.flatMap(({ output, sums, columns }) => [
      {
        name: output,
        shape: observe === "gram" ? [columns, columns] : [windows, columns],
        type: "float32" as const,
      },
      { name: sums, shape: [windows, columns], type: "float32" as const },
    ]),
  ];
}

/** Adds one run's sums, in float64; weights that read the same input share them. */
function addObserved(
  observed: Map<string, LayerInputs>,
  { observed: outputs }: BlockGraph,
  made: readonly HostTensor[],
  observe: Observation,
  tokens: number,
): void {
  for (const [index, { columns, weights }] of outputs.entries()) {
    const values = made[2 * index]!.values as Float32Array;
    const windowSums = made[2 * index + 1]!.values as Float32Array;
    const before = observed.get(weights[0]!);
    const squares = before?.squares ?? new Float64Array(columns);
    const total = before?.sums ?? new Float64Array(columns);
    addRows(total, windowSums);
    const sums: LayerInputs = {
      tokens: (before?.tokens ?? 0) + tokens,
      squares,
      sums: total,
      ...(observe === "gram" ? { gram: before?.gram ?? new Float64Array(values.length) } : {}),
    };
    if (sums.gram === undefined) addRows(squares, values);
    else {
      addRows(sums.gram, values);
      for (let i = 0; i < columns; i++) squares[i] = sums.gram[i * (columns + 1)]!;
    }
    for (const weight of weights) observed.set(weight, sums);
  }
}

/** Adds each row of `rows` to `total`. */
function addRows(total: Float64Array, rows: Float32Array): void {
  for (let i = 0; i < rows.length; i++) total[i % total.length]! += rows[i]!;
}

async function onnxHead(
  host: SessionHost,
  sessionOf: SessionOf,
  loaded: LoadedPart,
  columns: number,
  vocabulary: number,
): Promise<ReadyHead> {
  const { part, slots } = loaded;
  const weights = await keepWeights(host, loaded);
  const inSlices = async (
    hidden: Float32Array,
    take: (input: HostTensor, first: number, rows: number) => Promise<void>,
  ): Promise<void> => {
    const all = hidden.length / columns;
    for (let first = 0; first < all; first += HEAD_ROWS) {
      const rows = Math.min(HEAD_ROWS, all - first);
      const values = hidden.slice(first * columns, (first + rows) * columns);
      await take({ name: HIDDEN_IN, shape: [rows, columns], values }, first, rows);
    }
  };
  return {
    async logits(hidden) {
      const session = await sessionOf(logitsGraph(part, slots, columns, vocabulary), []);
      const out = new Float32Array((hidden.length / columns) * vocabulary);
      await inSlices(hidden, async (input, first, rows) => {
        const shape = [rows, vocabulary];
        const outputs = [{ name: LOGITS, shape, type: "float32" as const }];
        const [made] = await host.run({ session, weights, inputs: [input], outputs });
        out.set(made!.values as Float32Array, first * vocabulary);
      });
      return out;
    },
    async score(hidden, targets): Promise<Scores> {
      const session = await sessionOf(scoreGraph(part, slots, columns), []);
      const losses = new Float64Array(targets.length);
      const best = new Int32Array(targets.length);
      await inSlices(hidden, async (input, first, rows) => {
        const wanted = new BigInt64Array(rows);
        for (let i = 0; i < rows; i++) wanted[i] = BigInt(Math.max(0, targets[first + i]!));
        const shape = [rows, 1];
        const [loss, likely] = await host.run({
          session,
          weights,
          inputs: [input, { name: TARGETS, shape, values: wanted }],
          outputs: [
            { name: LOSSES, shape, type: "float32" },
            { name: BEST, shape, type: "int64" },
          ],
        });
        for (let i = 0; i < rows; i++) {
          losses[first + i] = targets[first + i]! < 0 ? Number.NaN : Number(loss!.values[i]!);
          best[first + i] = Number(likely!.values[i]!);
        }
      });
      return { losses, best };
    },
    close: () => host.dropWeights(weights),
  };
}
