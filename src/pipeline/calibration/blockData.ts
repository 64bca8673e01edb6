/**
 * What the blocks of a model saw, one after another in a data file of an unfinished output, each noted
 * in its journal; and the statistics file that is made of it in the end.
 */
import { statSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { encodeHeader, type PlacedTensor, planHeader } from "../../../formats/index.ts";
import { SpInferError } from "../../core/errors.ts";
import { isRecord } from "../../core/guards.ts";
import type { LayerInputs, ObservedInputs } from "../../engine/engine.ts";
import { writeFully } from "../../io/atomicFile.ts";
import { closeFile } from "../../io/openFile.ts";
import type { OutputFolder } from "../../io/outputFolder.ts";
import type { StatsPlaces } from "../survey.ts";
import { type StatsPlace, storedTriangle } from "../work/activationStats.ts";
import type { Pool } from "../work/pool.ts";
import {
  METADATA_KEY,
  openStatistics,
  STATISTICS_FILE,
  type StatisticsFacts,
  type StatisticsFile,
  type StatisticsKind,
  tensorOf,
} from "./statisticsFile.ts";
import type { CalibrationText } from "./text.ts";

/** Raw values of all blocks, until the statistics file is made of them. */
const DATA_FILE = "calibration.data";

/** dense: before the main one, where a survey looks at the model as it was. */
export type Pass = "dense" | "main";

/** What a block gave: in the journal, and the table of contents of the data file. */
interface BlockRecord {
  readonly calibrated: Pass;
  readonly block: number;
  /** By the name of the first weight that reads it. */
  readonly inputs: readonly InputRecord[];
  /** Its bytes in the data file. */
  readonly begin: number;
  readonly end: number;
  readonly sha256: string;
}

interface InputRecord {
  readonly input: string;
  readonly weights: readonly string[];
  readonly cols: number;
  readonly parts: readonly {
    readonly kind: StatisticsKind;
    readonly begin: number;
    readonly end: number;
  }[];
}

export class BlockData {
  private readonly output: OutputFolder;
  private readonly pool: Pool;
  private readonly dataPath: string;
  private readonly blocks: BlockRecord[] = [];

  constructor(output: OutputFolder, pool: Pool) {
    this.output = output;
    this.pool = pool;
    this.dataPath = output.pathOf(DATA_FILE);
  }

  /** What an earlier run had gathered, as far as its bytes are there. */
  async recall(): Promise<void> {
    const size = statSync(this.dataPath, { throwIfNoEntry: false })?.size ?? 0;
    for (const record of this.output.finished) {
      if (!isRecord(record) || typeof record["calibrated"] !== "string") continue;
      const block = record as unknown as BlockRecord;
      if (block.begin !== this.end() || block.end > size) break;
      const { begin, end } = block;
      const { sha256 } = await this.pool.run({
        kind: "hash",
        parts: [{ path: this.dataPath, begin, end }],
      });
      if (sha256 !== block.sha256) break;
      this.blocks.push(block);
    }
    closeFile(this.dataPath);
    if (size > this.end()) await truncate(this.dataPath, this.end());
  }

  /** Blocks that are known of a pass. */
  known(pass: Pass): ReadonlySet<number> {
    return new Set(
      this.blocks.filter(({ calibrated }) => calibrated === pass).map(({ block }) => block),
    );
  }

  /** Names of the weights of a block that read the same input, together. */
  weightsOf(pass: Pass, block: number): readonly (readonly string[])[] {
    return this.blocks
      .filter((record) => record.calibrated === pass && record.block === block)
      .flatMap((record) => record.inputs.map(({ weights }) => weights));
  }

  /** The input that each weight reads, by the name under which it is stored. */
  inputs(): Record<string, string> {
    const pairs = this.blocks.flatMap((record) =>
      record.inputs.flatMap(({ input, weights }) =>
        weights.map((weight) => [weight, input] as const),
      ),
    );
    return Object.fromEntries(pairs);
  }

  private end(): number {
    return this.blocks.at(-1)?.end ?? 0;
  }

  /** Writes down what a block saw. */
  async take(pass: Pass, block: number, observed: ObservedInputs): Promise<void> {
    const begin = this.end();
    const handle = await this.output.openFile(DATA_FILE);
    let end = begin;
    const inputs: InputRecord[] = [];
    try {
      for (const { names, sums } of byInput(observed)) {
        const parts: InputRecord["parts"][number][] = [];
        for (const [kind, values] of valuesOf(pass, sums, names[0]!)) {
          const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
          await writeFully(handle, bytes, end);
          parts.push({ kind, begin: end, end: end + bytes.length });
          end += bytes.length;
        }
        inputs.push({ input: names[0]!, weights: names, cols: sums.squares.length, parts });
      }
    } finally {
      await handle.close();
    }
    closeFile(this.dataPath);
    const parts = [{ path: this.dataPath, begin, end }];
    const { sha256 } = await this.pool.run({ kind: "hash", parts });
    const record: BlockRecord = { calibrated: pass, block, inputs, begin, end, sha256 };
    this.blocks.push(record);
    this.output.record(record);
  }

  /** Where the statistics of a pass are in the data file. */
  places(pass: Pass, { ids, nsamples }: CalibrationText): StatsPlaces {
    const places = new Map<string, StatsPlace>();
    for (const { calibrated, inputs } of this.blocks) {
      if (calibrated !== pass) continue;
      for (const { weights, cols, parts } of inputs) {
        const range = (kind: StatisticsKind) => {
          const part = parts.find((candidate) => candidate.kind === kind);
          return part === undefined ? undefined : ([part.begin, part.end] as const);
        };
        const squares = range(pass === "dense" ? "dense_squares" : "squares")!;
        const gram = range("gram");
        const place = {
          path: this.dataPath,
          cols,
          tokens: ids.length,
          samples: nsamples,
          squares,
          sums: range("sums") ?? squares,
          ...(gram === undefined ? {} : { gram }),
        };
        for (const weight of weights) places.set(weight, place);
      }
    }
    return places;
  }

  /** Makes the statistics file of the data. */
  async finish(factsOf: (sha256: string) => StatisticsFacts): Promise<StatisticsFile> {
    const { output, pool } = this;
    const placed: PlacedTensor[] = this.blocks.flatMap(({ inputs }) =>
      inputs.flatMap(({ input, cols, parts }) =>
        parts.map(({ kind, begin, end }) => ({
          name: `${input}.${kind}`,
          ...tensorOf(kind, cols),
          begin,
          end,
        })),
      ),
    );
    const parts = [{ path: this.dataPath, begin: 0, end: this.end() }];
    const { sha256 } = await pool.run({ kind: "hash", parts });
    const metadata = { [METADATA_KEY]: JSON.stringify(factsOf(sha256)) };
    const planned = placed.map(({ name, dtype, shape }) => ({
      name,
      dtype: dtype as "F64",
      maxShape: shape,
    }));
    const headerBytes = planHeader(planned, metadata);
    const path = output.pathOf(STATISTICS_FILE);
    const handle = await output.openFile(STATISTICS_FILE);
    try {
      await handle.truncate(0);
      await writeFully(handle, encodeHeader(placed, metadata, headerBytes), 0);
      const part = { name: DATA_FILE, dtype: "U8", shape: [this.end()] };
      const target = { path, position: 8 + headerBytes };
      await pool.run({ kind: "copy", source: parts[0]!, target, part });
      await output.sync(handle, STATISTICS_FILE);
    } finally {
      await handle.close();
    }
    closeFile(path);
    return await openStatistics(path);
  }
}

/** Layers that read the same input, together. */
function byInput(observed: ObservedInputs): { names: string[]; sums: LayerInputs }[] {
  const groups = new Map<LayerInputs, string[]>();
  for (const [name, sums] of observed) {
    const names = groups.get(sums);
    if (names === undefined) groups.set(sums, [name]);
    else names.push(name);
  }
  return [...groups].map(([sums, names]) => ({ names, sums }));
}

/** Throws E_STATS_VALUE. */
function valuesOf(
  pass: Pass,
  { squares, sums, gram }: LayerInputs,
  name: string,
): [StatisticsKind, Float64Array | Float32Array][] {
  if (!squares.every(Number.isFinite) || !sums.every(Number.isFinite)) {
    throw new SpInferError("E_STATS_VALUE", `${name}: its inputs are NaN or infinite`, {
      tensor: name,
      hint: "look for non-finite weights in its block and those before it: spinfer inspect MODEL --layers",
    });
  }
  if (pass === "dense") return [["dense_squares", squares]];
  return [
    ["squares", squares],
    ["sums", sums],
    ...(gram === undefined
      ? []
      : [["gram", storedTriangle(gram, squares.length)] as [StatisticsKind, Float32Array]]),
  ];
}
