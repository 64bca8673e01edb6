/** What prune, convert and run did. */
import { formatEstimate, formatPerplexity } from "../../core/figures.ts";
import { formatBytes, formatDuration, formatPercent } from "../../core/text.ts";
import type { RunReport } from "../../pipeline/runReport.ts";
import type { SearchRecord } from "../../pipeline/search/record.ts";
import type { VerifyReport } from "../../pipeline/verify.ts";
import {
  bad,
  caution,
  type Document,
  faint,
  good,
  type Line,
  lines,
  type Table,
} from "../output/document.ts";
import type { RunResult } from "../schemas/run.ts";
import { findingBlocks, verifyResult } from "./verify.ts";
import { counted, quoted, showBytes, showPercent, sizeChange } from "./words.ts";

export interface RunFacts {
  readonly report: RunReport;
  readonly verified: VerifyReport | undefined;
  /** The output as the user named it. */
  readonly shownOutput: string;
  readonly pruned: boolean;
  /** The statistics file that the user named. */
  readonly statistics?: string | undefined;
}

export function runResult({ report, verified }: RunFacts): RunResult {
  return {
    dry_run: false,
    output: report.output,
    format: report.format,
    tensors: report.tensors,
    pruned: report.pruned,
    packed: report.packed,
    sparsity: report.sparsity,
    bytes_in: report.bytesIn,
    bytes_out: report.bytesOut,
    nonfinite: report.nonfinite,
    overflowed: report.overflowed,
    underflowed: report.underflowed,
    resumed_tensors: report.resumedTensors,
    manifest_sha256: report.manifestSha256,
    search: report.search ?? null,
    elapsed_ms: Math.round(report.elapsedMs),
    verified: verified === undefined ? null : verifyResult(verified),
  };
}

export function runTable(result: RunResult): Table {
  const { verified, search, ...rest } = result;
  return {
    columns: [
      { key: "output", title: "output" },
      { key: "format", title: "format" },
      { key: "tensors", title: "tensors", align: "right" },
      { key: "pruned", title: "pruned", align: "right" },
      { key: "packed", title: "packed", align: "right" },
      { key: "sparsity", title: "zeros", align: "right", show: showPercent },
      { key: "bytes_in", title: "before", align: "right", show: showBytes },
      { key: "bytes_out", title: "after", align: "right", show: showBytes },
      { key: "nonfinite", title: "not finite", align: "right" },
      { key: "overflowed", title: "overflowed", align: "right" },
      { key: "underflowed", title: "underflowed", align: "right" },
      { key: "resumed_tensors", title: "resumed", align: "right" },
      { key: "perplexity", title: "perplexity", align: "right" },
      { key: "manifest_sha256", title: "manifest" },
      { key: "elapsed_ms", title: "ms", align: "right" },
      { key: "verified", title: "verified" },
    ],
    rows: [
      {
        ...rest,
        perplexity: search?.perplexity ?? null,
        verified: verified === null ? null : verified.ok,
      },
    ],
  };
}

export function runDocument(facts: RunFacts): Document {
  const { verified } = facts;
  return [
    lines(...summary(facts)),
    ...(verified === undefined || verified.ok ? [] : findingBlocks(verified)),
    ...(verified?.ok === false ? [] : [lines(...nextSteps(facts))]),
  ];
}

function summary(facts: RunFacts): Line[] {
  const { report, verified, shownOutput } = facts;
  const { bytesIn, bytesOut, elapsedMs, resumedTensors } = report;
  const resumed = resumedTensors === 0 ? "" : ` · ${resumedTensors} found done`;
  return [
    [
      good("✓"),
      ` wrote ${shownOutput} (${formatBytes(bytesOut)}, ${sizeChange(bytesIn, bytesOut)}) in ${formatDuration(elapsedMs)}`,
    ],
    [`  ${whatCameOut(facts)}${resumed}`],
    ...searchLines(report.search),
    ...notSmaller(facts),
    verifiedLine(verified),
    [faint(`  manifest sha256 ${report.manifestSha256}`)],
  ];
}

function whatCameOut({ report, pruned }: RunFacts): string {
  const { tensors, packed, sparsity, format, pruned: prunedTensors } = report;
  const zeros = `${formatPercent(sparsity)} of their weights are zero`;
  if (format === "tile-bitmap") {
    if (packed === 0)
      return `none of ${counted(tensors, "tensor")} was packed: none would be smaller`;
    return `${packed} of ${counted(tensors, "tensor")} packed without their zeros · ${zeros}`;
  }
  if (pruned)
    return `${prunedTensors} of ${counted(tensors, "tensor")} pruned, stored dense · ${zeros}`;
  return `${counted(tensors, "tensor")}, stored dense`;
}

/** The perplexity that was asked for and got, and what was tried on the way. */
function searchLines(search: SearchRecord | undefined): Line[] {
  if (search === undefined) return [];
  const { target, limit, perplexity, stderr, dense, sparsity, tries, windows, protocol } = search;
  const measured = formatEstimate({ mean: perplexity, stderr: stderr ?? undefined });
  const change = perplexity / dense.perplexity - 1;
  const sign = change < 0 ? "" : "+";
  const found = `sparsity ${sparsity}: ppl ${measured}, at most ${formatPerplexity(limit)} allowed, dense ${formatPerplexity(dense.perplexity)} (${sign}${formatPercent(change)})`;
  const tried = tries.map((one) => {
    const ppl = one.perplexity === null ? "no number" : formatPerplexity(one.perplexity);
    return `${one.sparsity} → ${ppl}`;
  });
  return [
    ["  target ", good("✓"), ` ${target} · ${found}`],
    [faint(`  tried ${tried.join(", ")} · protocol ${protocol}, ${counted(windows, "window")}`)],
  ];
}

function notSmaller({ report, pruned }: RunFacts): Line[] {
  const { bytesIn, bytesOut, format, packed } = report;
  if (bytesOut < bytesIn || (format === "dense" && !pruned)) return [];
  const why = {
    dense: "dense files store zeros too; --to tile-bitmap leaves them out",
    // a packed tensor is smaller than a dense one of 16 bits, so the source had less than that
    packed: "the source stores its weights in fewer bits than the 16 of the output",
    unpacked: "no weight was packed; `spinfer plan` with the same options says why for each",
  };
  let which: keyof typeof why = packed > 0 ? "packed" : "unpacked";
  if (format === "dense") which = "dense";
  return [[caution("  not smaller: "), why[which]]];
}

function verifiedLine(verified: VerifyReport | undefined): Line {
  if (verified === undefined) return [faint("  not verified (--verify none)")];
  const mark = verified.ok ? good("✓") : bad("✗");
  const ms = formatDuration(verified.elapsedMs);
  return ["  verify ", mark, ` level ${verified.level} in ${ms}`];
}

function nextSteps({ shownOutput, report, pruned, verified, statistics }: RunFacts): Line[] {
  const path = quoted(shownOutput);
  const by = statistics === undefined ? "" : ` --stats ${quoted(statistics)}`;
  const steps = [
    ...(pruned && verified?.level !== "full" ? [`spinfer verify ${path} --level full${by}`] : []),
    `spinfer inspect ${path}${report.packed > 0 ? " --layers" : ""}`,
  ];
  return steps.map((step, i) => [faint(i === 0 ? "  next: " : "        "), step]);
}
