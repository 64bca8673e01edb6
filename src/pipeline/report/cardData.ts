/** What a model card says, from a checkpoint's manifest and the records that are about it. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parse } from "yaml";
import { elementCount } from "../../core/dtype.ts";
import { formatPerplexity } from "../../core/figures.ts";
import { isRecord } from "../../core/guards.ts";
import { VERSION } from "../../core/version.ts";
import type { EvalReport } from "../../eval/report.ts";
import { closeFiles } from "../../io/openFile.ts";
import { readSmallFile } from "../../io/smallFile.ts";
import type { CardData, CardResult, SpeedData } from "../../report/index.ts";
import { CARD_FILE, MANIFEST_FILE, type Manifest, readManifest } from "../manifest.ts";
import { badRecord, type SweepResult } from "../sweep/record.ts";
import { denseSizeOf } from "../tensorSizes.ts";
import { nameOf, protocolText } from "./evaluationData.ts";
import type { AnyRecord } from "./readRecords.ts";

const LARGEST_MANIFEST = 1024 ** 3;
const LARGEST_CARD = 1024 ** 2;
/** A repository, with the commit that the local cache had. */
const REPOSITORY = /^([\w.-]+\/[\w.-]+)@[\w.-]+$/;

/** Throws E_MANIFEST, E_IO, and E_RECORD where records are given and none is of this checkpoint. */
export async function cardData(
  checkpoint: string,
  records: readonly AnyRecord[],
): Promise<CardData> {
  const path = join(checkpoint, MANIFEST_FILE);
  try {
    const manifest = readManifest(await readSmallFile(path, LARGEST_MANIFEST), path);
    const results = records.flatMap((record) => resultsOf(record, manifest.manifest_sha256));
    const speeds = records.flatMap((record) => speedsOf(record, manifest.manifest_sha256));
    if (results.length + speeds.length === 0) {
      const paths = records.map((record) => record.path).join(", ");
      throw badRecord(paths, `no figure in it is of ${checkpoint}`);
    }
    const pruned = Object.values(manifest.tensors).filter((tensor) => tensor.pruned !== undefined);
    const elements = pruned.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0);
    const nonzeros = pruned.reduce((sum, { nnz = 0 }) => sum + nnz, 0);
    return {
      name: basename(resolve(checkpoint)),
      version: VERSION,
      baseModel: REPOSITORY.exec(manifest.source.model)?.[1],
      license: await sourceLicense(join(checkpoint, manifest.source.model)),
      stored: manifest.format,
      methods: [...new Set(pruned.flatMap((tensor) => tensor.pruned?.method ?? []))],
      sparsity: elements === 0 ? 0 : 1 - nonzeros / elements,
      bytes: Object.values(manifest.tensors).reduce((sum, { bytes }) => sum + bytes, 0),
      denseBytes: denseSizeOf(manifest),
      results,
      speeds,
      provenance: provenanceOf(manifest),
    };
  } finally {
    closeFiles();
  }
}

function provenanceOf(manifest: Manifest): CardData["provenance"] {
  const { source, statistics, search, manifest_sha256, created_by } = manifest;
  return [
    ...source.files.map(({ path, sha256 }) => [`source ${path}`, sha256] as const),
    ...(statistics === undefined
      ? []
      : ([
          ["calibrated on", `${statistics.nsamples} windows of ${statistics.seqlen} tokens`],
          ["calibration text", statistics.text_sha256],
          ["statistics", statistics.sha256],
        ] as const)),
    ...(search === undefined
      ? []
      : ([
          [
            "sparsity found for",
            `${search.target}: ${formatPerplexity(search.perplexity)} of at most ${formatPerplexity(search.limit)}`,
          ],
          ["measured on", search.dataset_sha256],
        ] as const)),
    ["manifest", manifest_sha256],
    ["made with", `SpInfer ${created_by.version}`],
  ];
}

function resultsOf(record: AnyRecord, manifest: string): CardResult[] {
  if (record.kind === "eval") {
    return record.record.model.manifest_sha256 === manifest ? [evalResult(record.record)] : [];
  }
  if (record.kind !== "sweep") return [];
  const { dense, points } = record.record;
  return points
    .filter(({ manifest_sha256 }) => manifest_sha256 === manifest)
    .map((point) => sweepResult(point, dense));
}

/** A record of several models, with none but this checkpoint. */
function speedsOf(record: AnyRecord, manifest: string): SpeedData[] {
  if (record.kind !== "speed") return [];
  const models = record.record.models.filter((model) => model.manifest === manifest);
  return models.length === 0 ? [] : [{ ...record.record, models }];
}

function evalResult(report: EvalReport): CardResult {
  const { perplexity, stderr, base } = report;
  return {
    ...{ dataset: nameOf(report.dataset.path), protocol: textOf(report), perplexity, stderr },
    base: base ?? undefined,
  };
}

function sweepResult({ perplexity, stderr, delta }: SweepResult, dense: EvalReport): CardResult {
  return {
    ...{ dataset: nameOf(dense.dataset.path), protocol: textOf(dense), perplexity, stderr },
    base: { perplexity: dense.perplexity, stderr: dense.stderr, delta },
  };
}

/** Without the text, which the card names apart. */
function textOf(report: EvalReport): string {
  return protocolText(report).split(", ").slice(0, -1).join(", ");
}

/** From the front matter of the source's own card, where that can still be found. */
async function sourceLicense(source: string): Promise<string | undefined> {
  const path = join(source, CARD_FILE);
  if (!existsSync(path)) return undefined;
  const text = new TextDecoder().decode(await readSmallFile(path, LARGEST_CARD));
  const front = /^---\r?\n([\s\S]*?)\r?\n---\r?\n/.exec(text)?.[1];
  if (front === undefined) return undefined;
  try {
    const parsed: unknown = parse(front, { maxAliasCount: 0 });
    const license = isRecord(parsed) ? parsed["license"] : undefined;
    return typeof license === "string" ? license : undefined;
  } catch {
    return undefined; // a damaged card says nothing about a licence
  }
}
