/**
 * A statistics file: what the inputs of every linear layer summed up to, in a safetensors container.
 *
 *   <input>.squares         F64 [cols]   Σ x_j²
 *   <input>.sums            F64 [cols]   Σ x_j
 *   <input>.gram            F32 [·]      lower triangle of XᵀX, row by row, to an even length
 *   <input>.dense_squares   F64 [cols]   Σ x_j² in the model before any of it was pruned
 *
 * Layers that read the same input share it; `__metadata__.statistics` is JSON that says which input
 * each weight reads, and of which model, text and windows all this is.
 */
import { createHash } from "node:crypto";
import { SpInferError, toSpInferError } from "../../core/errors.ts";
import { isRecord } from "../../core/guards.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { type Infer, z } from "../../core/zod.ts";
import { hashRange } from "../../io/copyRange.ts";
import { closeFile, fileSize, fileSource } from "../../io/openFile.ts";
import type { FileRecord } from "../manifest.ts";
import { configurePruner } from "../plan/selection.ts";
import type { Plan } from "../plan/steps.ts";
import { CALIBRATION_MODES, WINDOW_RULES } from "../recipe/schema.ts";
import type { StatsPlaces } from "../survey.ts";
import { type Range, type StatsPlace, triangleValues } from "../work/activationStats.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

const statisticsFacts = z.strictObject({
  schema: z.literal("spinfer.statistics/1"),
  created_by: z.strictObject({ name: z.literal("spinfer"), version: z.string() }),
  /** The files of the model, in its order. */
  source: z.array(z.strictObject({ bytes: count, sha256 })),
  text_sha256: sha256,
  tokenizer_sha256: sha256,
  nsamples: z.int().min(1),
  seqlen: z.int().min(1),
  windows: z.enum(WINDOW_RULES),
  seed: count,
  mode: z.enum(CALIBRATION_MODES),
  /** How blocks were pruned on the way; null when they were not. */
  pruned: z.string().nullable(),
  engine: z.string(),
  /** The input that each weight reads. */
  inputs: z.record(z.string(), z.string()),
  data_sha256: sha256,
});

export type StatisticsFacts = Infer<typeof statisticsFacts>;

export interface StatisticsFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly facts: StatisticsFacts;
  readonly places: StatsPlaces;
}

/** An output's own statistics. Not named .safetensors: runtimes would take it for weights. */
export const STATISTICS_FILE = "calibration.statistics";
export const METADATA_KEY = "statistics";

const KINDS = {
  squares: { dtype: "F64", values: (cols: number) => cols },
  sums: { dtype: "F64", values: (cols: number) => cols },
  gram: { dtype: "F32", values: triangleValues },
  dense_squares: { dtype: "F64", values: (cols: number) => cols },
} as const;

/** Reads and checks a whole file. Throws E_STATS_FILE, E_IO. */
export async function openStatistics(path: string): Promise<StatisticsFile> {
  try {
    return await readStatistics(path);
  } catch (thrown) {
    const error = toSpInferError(thrown, { path });
    if (["E_IO", "E_NOT_REGULAR", "E_MEMORY", "E_STATS_FILE"].includes(error.code)) throw error;
    throw damaged(path, "it is no statistics file of this version", thrown);
  } finally {
    closeFile(path);
  }
}

async function readStatistics(path: string): Promise<StatisticsFile> {
  const source = fileSource(path);
  const length = await source.read(0, Math.min(8, source.size));
  const headerBytes = Number(new DataView(length.buffer, length.byteOffset).getBigUint64(0, true));
  if (headerBytes > DEFAULT_LIMITS.headerBytes || 8 + headerBytes > source.size)
    throw damaged(path, "it is cut short, or no statistics file");
  const text = new TextDecoder().decode(await source.read(8, 8 + headerBytes));
  const header: unknown = JSON.parse(text);
  if (!isRecord(header) || !isRecord(header["__metadata__"])) throw damaged(path, "no metadata");
  const facts = statisticsFacts.parse(JSON.parse(String(header["__metadata__"][METADATA_KEY])));
  const data = 8 + headerBytes;
  const whole = createHash("sha256");
  const bytes = fileSize(path);
  hashRange(path, 0, bytes, whole);
  const values = createHash("sha256");
  hashRange(path, data, bytes, values);
  if (values.digest("hex") !== facts.data_sha256) throw damaged(path, "its data were changed");
  const rangeOf = (input: string, kind: keyof typeof KINDS): Range | undefined => {
    const entry = header[`${input}.${kind}`];
    if (!isRecord(entry)) return undefined;
    const [begin, end] = entry["data_offsets"] as [number, number];
    return [data + begin, data + end];
  };
  const places = placesOf(facts, path, rangeOf, bytes);
  return { path, bytes, sha256: whole.digest("hex"), facts, places };
}

function placesOf(
  { inputs, nsamples, seqlen }: StatisticsFacts,
  path: string,
  rangeOf: (input: string, kind: keyof typeof KINDS) => Range | undefined,
  fileBytes: number,
): StatsPlaces {
  return new Map(
    Object.entries(inputs).map(([weight, input]): [string, StatsPlace] => {
      const [squares, sums, gram, denseSquares] = (
        ["squares", "sums", "gram", "dense_squares"] as const
      ).map((kind) => rangeOf(input, kind));
      if (squares === undefined || sums === undefined) throw damaged(path, `${input} is missing`);
      const cols = (squares[1] - squares[0]) / 8;
      const sizes: [Range | undefined, number][] = [
        [squares, 8 * cols],
        [sums, 8 * cols],
        [gram, 4 * triangleValues(cols)],
        [denseSquares, 8 * cols],
      ];
      for (const [range, size] of sizes) {
        if (range === undefined) continue;
        const fits = Number.isInteger(range[0]) && range[0] >= 8 && range[1] <= fileBytes;
        if (!fits || range[1] - range[0] !== size) throw damaged(path, `${input} has a wrong size`);
      }
      const place: StatsPlace = {
        ...{ path, cols, tokens: nsamples * seqlen, samples: nsamples, squares, sums },
        ...(gram === undefined ? {} : { gram }),
        ...(denseSquares === undefined ? {} : { denseSquares }),
      };
      return [weight, place];
    }),
  );
}

/** dtype and shape of what a file holds of an input. */
export function tensorOf(
  kind: keyof typeof KINDS,
  cols: number,
): { dtype: "F64" | "F32"; shape: number[] } {
  const { dtype, values } = KINDS[kind];
  return { dtype, shape: [values(cols)] };
}

export type StatisticsKind = keyof typeof KINDS;

function damaged(path: string, what: string, cause?: unknown): SpInferError {
  return new SpInferError("E_STATS_FILE", `${path}: ${what}`, {
    path,
    cause,
    hint: "make it anew with spinfer calibrate",
  });
}

/**
 * That the statistics are of this model, and hold what the plan needs.
 * Throws E_STATS_MISMATCH, E_STATS_MISSING.
 */
export function checkStatistics(
  { path, facts, places }: StatisticsFile,
  plan: Plan,
  source: readonly FileRecord[],
): void {
  const mismatch = (what: string, found: string, expected: string): SpInferError =>
    new SpInferError("E_STATS_MISMATCH", `${path}: ${what}`, {
      path,
      found,
      expected,
      hint: "calibrate on this model: --calib TEXT",
    });
  const hashes = (files: readonly { readonly sha256: string }[]): string =>
    files.map((file) => file.sha256.slice(0, 16)).join(", ");
  if (hashes(facts.source) !== hashes(source)) {
    throw mismatch(
      "the statistics are of another model",
      `files with SHA-256 ${hashes(facts.source)}`,
      hashes(source),
    );
  }
  for (const { name, prune, needs, matrix } of stepsThatNeed(plan)) {
    const place = places.get(name);
    if (place === undefined || (needs.includes("gram") && place.gram === undefined)) {
      const what = place === undefined ? "nothing" : "no Gram matrix";
      throw new SpInferError("E_STATS_MISSING", `${path}: it holds ${what} of ${name}`, {
        path,
        tensor: name,
        hint: `calibrate for --method ${prune.method}, or leave the tensor out with --ignore`,
      });
    }
    if (place.cols === matrix.cols) continue;
    throw mismatch(`${name} has another shape`, `${place.cols} inputs`, `${matrix.cols} inputs`);
  }
}

/** The steps whose pruner asks for statistics. */
export function stepsThatNeed(plan: Plan) {
  return plan.steps.flatMap((step) => {
    const { prune, matrix } = step;
    if (prune === undefined || matrix === undefined) return [];
    const { needs } = configurePruner(prune);
    return needs.length === 0 ? [] : [{ ...step, prune, matrix, needs }];
  });
}
