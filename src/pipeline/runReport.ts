/** What a run tells of what it wrote, counted from the manifest. */
import { elementCount } from "../core/dtype.ts";
import type { Manifest } from "./manifest.ts";
import type { Plan } from "./plan/steps.ts";
import type { SearchRecord } from "./search/record.ts";

export interface RunReport {
  readonly output: string;
  readonly format: "tile-bitmap" | "dense";
  readonly tensors: number;
  readonly pruned: number;
  readonly packed: number;
  /** Zeros among the weights that were pruned (when converting: of all that were packed). */
  readonly sparsity: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly nonfinite: number;
  readonly overflowed: number;
  readonly underflowed: number;
  readonly resumedTensors: number;
  readonly manifestSha256: string;
  /** How the sparsity was found, where measuring found it. */
  readonly search?: SearchRecord;
  readonly elapsedMs: number;
  readonly warnings: readonly string[];
}

export interface ReportFacts
  extends Pick<
    RunReport,
    "output" | "bytesIn" | "resumedTensors" | "manifestSha256" | "elapsedMs"
  > {
  readonly plan: Plan;
  readonly search: SearchRecord | undefined;
}

export function reportOf(
  manifest: Omit<Manifest, "manifest_sha256">,
  { plan, search, ...facts }: ReportFacts,
): RunReport {
  const tensors = Object.values(manifest.tensors);
  const counted = tensors.filter(
    (tensor) => tensor.pruned !== undefined || tensor.stored === "tile-bitmap",
  );
  const total = (key: "nonfinite" | "overflowed" | "underflowed"): number =>
    tensors.reduce((sum, tensor) => sum + (tensor[key] ?? 0), 0);
  const values = counted.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0);
  const nonzeros = counted.reduce((sum, { nnz }) => sum + (nnz ?? 0), 0);
  const report = {
    ...facts,
    format: plan.to,
    tensors: tensors.length,
    pruned: tensors.filter(({ pruned }) => pruned !== undefined).length,
    packed: tensors.filter(({ stored }) => stored === "tile-bitmap").length,
    sparsity: values === 0 ? 0 : 1 - nonzeros / values,
    bytesOut: manifest.files
      .filter(({ path }) => path.endsWith(".safetensors"))
      .reduce((sum, { bytes }) => sum + bytes, 0),
    nonfinite: total("nonfinite"),
    overflowed: total("overflowed"),
    underflowed: total("underflowed"),
    ...(search === undefined ? {} : { search }),
  };
  return { ...report, warnings: [...plan.warnings, ...valueWarnings(report)] };
}

function valueWarnings({
  nonfinite,
  overflowed,
  underflowed,
}: Pick<RunReport, "nonfinite" | "overflowed" | "underflowed">): string[] {
  const warnings: string[] = [];
  if (nonfinite > 0) warnings.push(`${nonfinite} weights are NaN or infinite; they were kept`);
  if (overflowed > 0)
    warnings.push(
      `${overflowed} values became infinite in the output's dtype; --dtype bf16 or f32 can hold them`,
    );
  if (underflowed > 0) warnings.push(`${underflowed} values became zero in the output's dtype`);
  return warnings;
}
