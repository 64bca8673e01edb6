/** What a report says about the model that was evaluated: enough to know it again. */
import { elementCount } from "../core/dtype.ts";
import type { ModelRecord } from "../eval/report.ts";
import type { OnEvent } from "./events.ts";
import { MANIFEST_FILE, type Manifest, readManifest } from "./manifest.ts";
import type { OpenedModel } from "./openModel.ts";
import { SourceHashes } from "./sourceHashes.ts";
import type { Pool } from "./work/pool.ts";

/** Hashes every file with weights. Throws E_MANIFEST for a damaged manifest. */
export async function modelRecord(
  model: OpenedModel,
  family: string,
  pool: Pool,
  onEvent: OnEvent,
): Promise<ModelRecord> {
  const manifest = await manifestOf(model);
  const files = await new SourceHashes(model, pool, onEvent).all();
  return {
    path: model.archive.label,
    format: model.archive.format,
    family,
    manifest_sha256: manifest?.manifest_sha256 ?? null,
    files: files.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })),
    sparsity: manifest === undefined ? null : sparsityOf(manifest),
  };
}

async function manifestOf({ files }: OpenedModel): Promise<Manifest | undefined> {
  if (files.single || !files.has(MANIFEST_FILE)) return undefined;
  const source = await files.open(MANIFEST_FILE);
  return readManifest(await source.read(0, source.size), source.label);
}

/** Of the weights that were pruned or packed; null when there are none. */
function sparsityOf({ tensors }: Manifest): number | null {
  const counted = Object.values(tensors).filter(({ nnz }) => nnz !== undefined);
  const elements = counted.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0);
  const nonzeros = counted.reduce((sum, { nnz = 0 }) => sum + nnz, 0);
  return elements === 0 ? null : 1 - nonzeros / elements;
}
