/** What a model is, from its headers; with `stats` also from its values, with `hash` its files. */
import { availableParallelism } from "node:os";
import { type Archive, storedBytes, type TensorEntry } from "../core/archive.ts";
import { denseBytes, elementCount, isDtype } from "../core/dtype.ts";
import { groupBy } from "../core/groupBy.ts";
import { closeFiles } from "../io/openFile.ts";
import {
  describeTensors,
  isQuantizedConfig,
  type Role,
  type TensorRole,
  tiedEmbeddings,
} from "../model/index.ts";
import { type OnEvent, Progress } from "./events.ts";
import { type OpenedModel, type OpenModelOptions, openModel } from "./openModel.ts";
import { runOrdered } from "./work/ordered.ts";
import { createPool, type Pool } from "./work/pool.ts";
import type { Paths } from "./work/tasks.ts";

export interface InspectOptions extends OpenModelOptions {
  /** Read all tensors and count their zeros. */
  readonly stats?: boolean | undefined;
  /** SHA-256 of the files that hold tensors. */
  readonly hash?: boolean | undefined;
  readonly threads?: number | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TensorFacts {
  readonly name: string;
  readonly role: Role;
  readonly block?: number;
  readonly dtype: string;
  /** Dense shape. */
  readonly shape: readonly number[];
  readonly stored: string;
  /** Bytes in the file. */
  readonly bytes: number;
  readonly parameters: number;
  readonly nonzeros?: number;
  readonly sparsity?: number;
}

export interface Group {
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
  /** Of those tensors whose nonzeros are known. */
  readonly sparsity?: number;
}

export interface InspectReport {
  readonly model: string;
  readonly format: string;
  readonly architecture?: string;
  readonly parameters: number;
  readonly bytes: number;
  /** What the tensors would take dense. */
  readonly denseBytes: number;
  readonly sparsity?: number;
  readonly tied: boolean;
  readonly quantized?: string;
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly sha256?: string;
  }[];
  readonly dtypes: Readonly<Record<string, Group>>;
  readonly roles: Readonly<Record<string, Group>>;
  readonly layers: readonly (Group & { readonly block: number })[];
  readonly tensors: readonly TensorFacts[];
  readonly warnings: readonly string[];
}

export async function inspectModel(
  argument: string,
  options: InspectOptions = {},
): Promise<InspectReport> {
  const model = await openModel(argument, options);
  const { archive } = model;
  const roles = describeTensors(archive.entries, archive.config);
  const pool = createPool(options.threads ?? availableParallelism(), { signal: options.signal });
  try {
    const nonzeros =
      options.stats === true ? await countAll(model, pool, options) : storedNonzeros(archive);
    const hashes = options.hash === true ? await hashFiles(model, pool) : new Map<string, string>();
    const tensors = archive.entries.map((entry, i) =>
      factsOf(entry, roles[i]!, nonzeros.get(entry.name)),
    );
    return assemble(archive, tensors, hashes);
  } finally {
    await pool.close();
    closeFiles();
  }
}

/** Packed tensors tell their nonzeros in their headers. */
function storedNonzeros({ entries }: Archive): Map<string, number> {
  const known = new Map<string, number>();
  for (const { name, encoding } of entries) {
    if (typeof encoding?.["nonzeros"] === "number") known.set(name, encoding["nonzeros"]);
  }
  return known;
}

async function countAll(
  model: OpenedModel,
  pool: Pool,
  { onEvent }: InspectOptions,
): Promise<Map<string, number>> {
  const { entries, tensorFiles } = model.archive;
  const paths: Paths = Object.fromEntries(
    tensorFiles.map(({ name }) => [name, model.pathOf(name)]),
  );
  const counts = new Map<string, number>();
  const bytes = entries.reduce((sum, entry) => sum + storedBytes(entry), 0);
  const progress = new Progress(onEvent ?? (() => undefined), "verify", entries.length, bytes);
  await runOrdered<TensorEntry, { nonzeros: number }>({
    items: entries,
    footprint: denseSize,
    budget: 512 * 1024 * 1024,
    width: pool.threads + 1,
    start: (entry) => pool.run({ kind: "count", entry, paths }),
    finish: async (entry, { nonzeros }) => {
      counts.set(entry.name, nonzeros);
      progress.item(entry.name, storedBytes(entry));
    },
  });
  progress.end();
  return counts;
}

async function hashFiles(model: OpenedModel, pool: Pool): Promise<Map<string, string>> {
  const hashed = model.archive.tensorFiles.map(async ({ name, bytes }) => {
    const parts = [{ path: model.pathOf(name), begin: 0, end: bytes }];
    return [name, (await pool.run({ kind: "hash", parts })).sha256] as const;
  });
  return new Map(await Promise.all(hashed));
}

function denseSize({ dtype, shape }: TensorEntry): number {
  return (isDtype(dtype) ? denseBytes(dtype, shape) : undefined) ?? 0;
}

function factsOf(
  entry: TensorEntry,
  { role, block }: TensorRole,
  nonzeros: number | undefined,
): TensorFacts {
  const parameters = elementCount(entry.shape) ?? 0;
  const { name, dtype, shape, stored } = entry;
  return {
    name,
    role,
    ...(block === undefined ? {} : { block }),
    dtype,
    shape,
    stored,
    bytes: storedBytes(entry),
    parameters,
    ...(nonzeros === undefined
      ? {}
      : { nonzeros, sparsity: parameters === 0 ? 0 : 1 - nonzeros / parameters }),
  };
}

function assemble(
  archive: Archive,
  tensors: readonly TensorFacts[],
  hashes: ReadonlyMap<string, string>,
): InspectReport {
  const { config, entries } = archive;
  const all = groupOf(tensors);
  const architectures = config?.["architectures"];
  const architecture = Array.isArray(architectures) ? architectures[0] : config?.["model_type"];
  const quantized = isQuantizedConfig(config);
  return {
    model: archive.label,
    format: archive.format,
    ...(typeof architecture === "string" ? { architecture } : {}),
    parameters: all.parameters,
    bytes: all.bytes,
    denseBytes: entries.reduce((sum, entry) => sum + denseSize(entry), 0),
    ...(all.sparsity === undefined ? {} : { sparsity: all.sparsity }),
    tied: tiedEmbeddings(config, entries).tied,
    ...(quantized === undefined ? {} : { quantized }),
    files: archive.tensorFiles.map(({ name, bytes }) => {
      const sha256 = hashes.get(name);
      return { name, bytes, ...(sha256 === undefined ? {} : { sha256 }) };
    }),
    dtypes: groupsBy(tensors, ({ dtype }) => dtype),
    roles: groupsBy(tensors, ({ role }) => role),
    layers: layersOf(tensors),
    tensors,
    warnings: archive.warnings,
  };
}

function groupOf(tensors: readonly TensorFacts[]): Group {
  const sum = (value: (tensor: TensorFacts) => number): number =>
    tensors.reduce((total, tensor) => total + value(tensor), 0);
  const known = tensors.filter(({ nonzeros }) => nonzeros !== undefined);
  const values = known.reduce((total, { parameters }) => total + parameters, 0);
  const nonzeros = known.reduce((total, tensor) => total + (tensor.nonzeros ?? 0), 0);
  return {
    tensors: tensors.length,
    parameters: sum(({ parameters }) => parameters),
    bytes: sum(({ bytes }) => bytes),
    ...(values === 0 ? {} : { sparsity: 1 - nonzeros / values }),
  };
}

function groupsBy(
  tensors: readonly TensorFacts[],
  keyOf: (tensor: TensorFacts) => string,
): Record<string, Group> {
  const keys = [...new Set(tensors.map(keyOf))];
  return Object.fromEntries(
    keys.map((key) => [key, groupOf(tensors.filter((tensor) => keyOf(tensor) === key))]),
  );
}

function layersOf(tensors: readonly TensorFacts[]): (Group & { block: number })[] {
  const blocks = groupBy(
    tensors.filter(({ block }) => block !== undefined),
    ({ block }) => block!,
  );
  return [...blocks]
    .sort(([a], [b]) => a - b)
    .map(([block, members]) => ({ block, ...groupOf(members) }));
}
