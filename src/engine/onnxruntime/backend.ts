/** The fast engine: each part of the model as an ONNX graph, run by onnxruntime in its own thread. */
import { createHash } from "node:crypto";
import type { Backend, LoadedPart, ReadyBlock, ReadyHead } from "../backend.ts";
import type { BlockOutput, LayerInputs, Observation } from "../engine.ts";
import {
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

/**
 * Tokens that go through a block in one run: short windows go together. With more, what a product
 * reads and writes no longer fits the cores' caches; with fewer, packing its weights takes longer.
 */
const TOKENS_PER_RUN = 1024;
/** Rows whose logits are held at once: many for speed, within a number of logits for memory. */
const HEAD_ROWS = 256;
const HEAD_LOGITS = 2 ** 24;
const FEWEST_HEAD_ROWS = 16;

/**
 * Sessions that are kept: each holds the memory of its largest run. Blocks of one or two kinds at
 * two lengths of windows, observed or not, and the head.
 */
const MOST_SESSIONS = 8;

export function onnxBackend(host: SessionHost): Backend {
  const sessions = sessionStore(host);
  return {
    name: "onnxruntime",
    block: (loaded, hidden) => onnxBlock(host, sessions, loaded, hidden),
    head: (loaded, hidden, vocabulary) => onnxHead(host, sessions, loaded, hidden, vocabulary),
    close: () => host.close(),
  };
}

type SessionOf = (graph: SessionGraph) => Promise<number>;

interface SessionGraph {
  /** Graphs of the same key are the same. */
  readonly key: string;
  readonly model: Uint8Array;
  readonly constants: readonly HostTensor[];
}

/** Blocks of the same structure share a session; those used longest ago go. */
function sessionStore(host: SessionHost): SessionOf {
  const sessions = new Map<string, Promise<number>>();
  return async ({ key, model, constants }) => {
    const session = sessions.get(key) ?? host.addSession(model, constants);
    sessions.delete(key);
    sessions.set(key, session); // the last one is the one used last
    const [oldest] = sessions;
    if (sessions.size > MOST_SESSIONS && oldest !== undefined) {
      sessions.delete(oldest[0]);
      await host.dropSession(await oldest[1]);
    }
    return session;
  };
}

function keyed(model: Uint8Array, constants: readonly HostTensor[] = []): SessionGraph {
  return { key: createHash("sha256").update(model).digest("hex"), model, constants };
}

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
  const graphs = new Map<string, { graph: BlockGraph; keyed: SessionGraph }>();
  const graphOf = (length: number, observe: Observation) => {
    const key = `${length} ${observe}`;
    const known = graphs.get(key);
    if (known !== undefined) return known;
    const graph = blockGraph(loaded.part, loaded.slots, columns, length, observe);
    const made = { graph, keyed: keyed(graph.model, graph.constants) };
    graphs.set(key, made);
    return made;
  };
  return {
    async run(hidden, length, observe) {
      const { graph, keyed: sessionGraph } = graphOf(length, observe);
      const session = await sessionOf(sessionGraph);
      const windows = hidden.length / columns / length;
      const together = Math.max(1, Math.floor(TOKENS_PER_RUN / length));
      let out: Float32Array = new Float32Array(windows > together ? hidden.length : 0);
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
        const result = made[0]!.values as Float32Array;
        addObserved(observed, graph, made.slice(1), observe, count * length);
        if (count === windows) out = result;
        else out.set(result, begin);
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
  const scores = keyed(scoreGraph(part, slots, columns));
  const plain = keyed(logitsGraph(part, slots, columns, vocabulary));
  const fitting = Math.floor(HEAD_LOGITS / vocabulary);
  const most = Math.max(FEWEST_HEAD_ROWS, Math.min(HEAD_ROWS, fitting));
  const inSlices = async (
    hidden: Float32Array,
    take: (input: HostTensor, first: number, rows: number) => Promise<void>,
  ): Promise<void> => {
    const all = hidden.length / columns;
    for (let first = 0; first < all; first += most) {
      const rows = Math.min(most, all - first);
      const values = hidden.slice(first * columns, (first + rows) * columns);
      await take({ name: HIDDEN_IN, shape: [rows, columns], values }, first, rows);
    }
  };
  return {
    async logits(hidden) {
      const session = await sessionOf(plain);
      const out = new Float32Array((hidden.length / columns) * vocabulary);
      await inSlices(hidden, async (input, first, rows) => {
        const shape = [rows, vocabulary];
        const outputs = [{ name: LOGITS, shape, type: "float32" as const }];
        const [made] = await host.run({ session, weights, inputs: [input], outputs });
        out.set(made!.values as Float32Array, first * vocabulary);
      });
      return out;
    },
    async score(hidden, targets) {
      const session = await sessionOf(scores);
      const losses = new Float64Array(targets.length);
      await inSlices(hidden, async (input, first, rows) => {
        const wanted = new BigInt64Array(rows);
        for (let i = 0; i < rows; i++) wanted[i] = BigInt(Math.max(0, targets[first + i]!));
        const shape = [rows, 1];
        const [loss] = await host.run({
          session,
          weights,
          inputs: [input, { name: TARGETS, shape, values: wanted }],
          outputs: [{ name: LOSSES, shape, type: "float32" }],
        });
        for (let i = 0; i < rows; i++) {
          losses[first + i] = targets[first + i]! < 0 ? Number.NaN : Number(loss!.values[i]!);
        }
      });
      return losses;
    },
    close: () => host.dropWeights(weights),
  };
}
