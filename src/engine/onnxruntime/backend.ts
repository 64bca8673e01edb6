/** The fast engine: each part of the model as an ONNX graph, run by onnxruntime in its own thread. */
import { createHash } from "node:crypto";
import type { Backend, LoadedPart, ReadyBlock, ReadyHead } from "../backend.ts";
import type { LayerInputs, Observation, ObservedInputs } from "../engine.ts";
import {
  type BlockGraph,
  blockGraph,
  type GramPanel,
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
  const graphOf = (length: number, observe: Observation, inputsOnly: boolean) => {
    const key = `${length} ${observe} ${inputsOnly}`;
    const known = graphs.get(key);
    if (known !== undefined) return known;
    const graph = blockGraph(loaded.part, loaded.slots, columns, length, observe, inputsOnly);
    const made = { graph, keyed: keyed(graph.model, graph.constants) };
    graphs.set(key, made);
    return made;
  };
  /** Takes windows through the block; hands over what came out of each run, if anything did. */
  const through = async (
    hidden: Float32Array,
    length: number,
    observe: Observation,
    sums: ObservedInputs,
    take?: (result: Float32Array, begin: number) => void,
  ): Promise<void> => {
    const { graph, keyed: sessionGraph } = graphOf(length, observe, take === undefined);
    const session = await sessionOf(sessionGraph);
    const windows = hidden.length / columns / length;
    const together = Math.max(1, Math.floor(TOKENS_PER_RUN / length));
    let grams = noGrams(graph);
    for (let first = 0; first < windows; first += together) {
      const count = Math.min(together, windows - first);
      const begin = first * length * columns;
      const input = hidden.slice(begin, begin + count * length * columns);
      const out = { name: HIDDEN_OUT, shape: [count * length, columns], type: "float32" as const };
      const made = await host.run({
        session,
        weights,
        inputs: [...inputsOf(input, columns, count, length, graph.usesPositions), ...grams],
        outputs: [...(take === undefined ? [] : [out]), ...observedOutputs(graph, count)],
      });
      take?.(made[0]!.values as Float32Array, begin);
      const values = valuesByName(made);
      addSums(sums, loaded.part.prefix, graph, values, count * length);
      // what one call sees of XᵀX is added up in float32, by the product itself
      grams = panelsOf(graph).map(({ before, output }, i) => ({
        ...grams[i]!,
        name: before,
        values: values.get(output)!,
      }));
    }
    addGrams(sums, loaded.part.prefix, graph, valuesByName(grams));
  };
  return {
    async run(hidden, length, observe, sums) {
      let out: Float32Array | undefined;
      await through(hidden, length, observe, sums, (result, begin) => {
        if (result.length === hidden.length) out = result;
        else {
          out ??= new Float32Array(hidden.length);
          out.set(result, begin);
        }
      });
      return { hidden: out ?? new Float32Array(0), observed: sums };
    },
    observe: (hidden, length, observe, sums) => through(hidden, length, observe, sums),
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

function observedOutputs({ observed }: BlockGraph, windows: number) {
  const output = (name: string, shape: readonly number[]) => ({
    ...{ name, shape },
    type: "float32" as const,
  });
  return observed.flatMap(({ columns, sums, squares, panels }) => [
    output(sums, [windows, 1, columns]),
    ...(squares === undefined ? [] : [output(squares, [windows, 1, columns])]),
    ...panels.map((panel) => output(panel.output, [panel.end - panel.begin, panel.end])),
  ]);
}

function panelsOf({ observed }: BlockGraph): GramPanel[] {
  return observed.flatMap(({ panels }) => panels);
}

/** What the first run adds its part of XᵀX to. */
function noGrams(graph: BlockGraph): HostTensor[] {
  return panelsOf(graph).map(({ before, begin, end }) => {
    const shape = [end - begin, end];
    return { name: before, shape, values: new Float32Array((end - begin) * end) };
  });
}

function valuesByName(tensors: readonly HostTensor[]): Map<string, Float32Array> {
  return new Map(tensors.map(({ name, values }) => [name, values as Float32Array]));
}

/** Adds one run's sums, in float64; weights that read the same input share them. */
function addSums(
  observed: ObservedInputs,
  prefix: string,
  { observed: outputs }: BlockGraph,
  values: ReadonlyMap<string, Float32Array>,
  tokens: number,
): void {
  for (const { columns, weights, sums, squares, panels } of outputs) {
    const before = observed.get(prefix + weights[0]!);
    const total: LayerInputs = {
      tokens: (before?.tokens ?? 0) + tokens,
      squares: before?.squares ?? new Float64Array(columns),
      sums: before?.sums ?? new Float64Array(columns),
      ...(panels.length === 0
        ? {}
        : { gram: before?.gram ?? new Float64Array((columns * (columns + 1)) / 2) }),
    };
    addRows(total.sums, values.get(sums)!);
    if (squares !== undefined) addRows(total.squares, values.get(squares)!);
    for (const weight of weights) observed.set(prefix + weight, total);
  }
}

/** Adds XᵀX of some runs, in float64; the squares are on its diagonal. */
function addGrams(
  observed: ObservedInputs,
  prefix: string,
  { observed: outputs }: BlockGraph,
  values: ReadonlyMap<string, Float32Array>,
): void {
  for (const { weights, panels } of outputs) {
    const { gram, squares } = observed.get(prefix + weights[0]!)!;
    for (const panel of panels) addPanel(gram!, panel, values.get(panel.before)!);
    if (gram === undefined) continue;
    for (let i = 0; i < squares.length; i++) squares[i] = gram[(i * (i + 3)) / 2]!;
  }
}

/** Adds each row of `rows` to `total`. */
function addRows(total: Float64Array, rows: Float32Array): void {
  for (let at = 0; at < rows.length; at += total.length)
    for (let i = 0; i < total.length; i++) total[i]! += rows[at + i]!;
}

/** Adds rows of XᵀX, as far as the diagonal, to its lower triangle. */
function addPanel(triangle: Float64Array, { begin, end }: GramPanel, values: Float32Array): void {
  let at = (begin * (begin + 1)) / 2;
  for (let row = begin; row < end; row++) {
    const from = (row - begin) * end;
    for (let j = 0; j <= row; j++) triangle[at++]! += values[from + j]!;
  }
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
