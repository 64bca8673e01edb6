/**
 * spinfer_manifest.json: what a checkpoint was made from and what it must be, byte for byte.
 * It holds no times and no absolute paths, so that the same run gives the same bytes. Its last
 * field is its own SHA-256, taken with that field's digits replaced by zeros.
 */
import { createHash } from "node:crypto";
import { SpInferError } from "../core/errors.ts";
import { isRecord } from "../core/guards.ts";
import { type Infer, z } from "../core/zod.ts";
import { searchRecordSchema } from "./search/record.ts";

export const MANIFEST_FILE = "spinfer_manifest.json";
/** A checkpoint's model card: written for people, after the manifest, and edited by them. */
export const CARD_FILE = "README.md";
export const MANIFEST_SCHEMA = "spinfer.manifest/1";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const fileRecord = z.strictObject({ path: z.string(), bytes: count, sha256 });

const tensorRecord = z.strictObject({
  shape: z.array(count),
  dtype: z.string(),
  stored: z.enum(["dense", "tile-bitmap"]),
  file: z.string(),
  /** Bytes in the file, all parts. */
  bytes: count,
  sha256,
  nnz: count.optional(),
  sparsity: z.number().optional(),
  max_chunk_nnz: count.optional(),
  nonfinite: count.optional(),
  overflowed: count.optional(),
  underflowed: count.optional(),
  pruned: z
    .strictObject({
      method: z.string(),
      sparsity: z.number(),
      pattern: z.string(),
      options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    })
    .optional(),
  reason: z.string().optional(),
});

export const manifestSchema = z.strictObject({
  schema: z.literal(MANIFEST_SCHEMA),
  created_by: z.strictObject({ name: z.literal("spinfer"), version: z.string() }),
  format: z.enum(["tile-bitmap", "dense"]),
  source: z.strictObject({
    /** How to find it: relative to the checkpoint folder, or org/name@commit. */
    model: z.string(),
    format: z.string(),
    files: z.array(fileRecord),
  }),
  /** The recipe, resolved, as YAML. */
  recipe: z.string(),
  /** Of the inputs of the matrices, where they were pruned by those. */
  statistics: z
    .strictObject({
      /** In the checkpoint; null: somewhere else. */
      file: z.string().nullable(),
      bytes: count,
      sha256,
      text_sha256: sha256,
      tokenizer_sha256: sha256,
      nsamples: count,
      seqlen: count,
      windows: z.string(),
      seed: count,
      mode: z.string(),
      engine: z.string(),
    })
    .optional(),
  /** How its sparsity was found, where that was by measuring. */
  search: searchRecordSchema.optional(),
  /** Every file of the checkpoint but this one. */
  files: z.array(fileRecord),
  tensors: z.record(z.string(), tensorRecord),
  manifest_sha256: sha256,
});

export type Manifest = Infer<typeof manifestSchema>;
export type ManifestTensor = Infer<typeof tensorRecord>;
export type FileRecord = Infer<typeof fileRecord>;

const BLANK = "0".repeat(64);
const SELF = /"manifest_sha256": "([0-9a-f]{64})"\n\}\n$/;

/** The manifest's bytes, with its own hash filled in. */
export function writeManifest(manifest: Omit<Manifest, "manifest_sha256">): Uint8Array {
  const text = `${JSON.stringify({ ...manifest, manifest_sha256: BLANK }, null, 2)}\n`;
  const digest = createHash("sha256").update(text).digest("hex");
  return new TextEncoder().encode(text.replace(SELF, `"manifest_sha256": "${digest}"\n}\n`));
}

/** Parses and checks a manifest. Throws E_MANIFEST. */
export function readManifest(bytes: Uint8Array, path: string): Manifest {
  const damaged = (what: string, cause?: unknown): SpInferError =>
    new SpInferError("E_MANIFEST", `${path}: ${what}`, {
      path,
      cause,
      hint: "the checkpoint is damaged: fetch it again or make it anew",
    });
  const text = new TextDecoder("utf-8").decode(bytes);
  const stored = SELF.exec(text)?.[1];
  if (stored === undefined) throw damaged("it does not end with its own hash");
  const blanked = Buffer.from(bytes);
  blanked.fill("0", bytes.length - BLANK.length - '"\n}\n'.length, bytes.length - '"\n}\n'.length);
  if (createHash("sha256").update(blanked).digest("hex") !== stored) {
    throw damaged("it does not match its own hash");
  }
  try {
    const raw = JSON.parse(text);
    const manifest = manifestSchema.parse({ ...raw, tensors: {} });
    return { ...manifest, tensors: readTensors(raw.tensors) };
  } catch (cause) {
    throw damaged("it is not a manifest of this version", cause);
  }
}

/** By name; without a prototype, since a tensor may be called __proto__ or constructor. */
function readTensors(raw: unknown): Record<string, ManifestTensor> {
  const tensors: Record<string, ManifestTensor> = Object.create(null);
  if (!isRecord(raw)) throw new TypeError("tensors is no object");
  for (const [name, record] of Object.entries(raw)) {
    tensors[name] = tensorRecord.parse(record);
  }
  return tensors;
}
