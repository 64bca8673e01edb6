/** What verify found. */
import { formatDuration } from "../../core/text.ts";
import type { Check, VerifyReport } from "../../pipeline/verify.ts";
import type { Outcome } from "../outcome.ts";
import {
  type Block,
  bad,
  type Document,
  faint,
  good,
  type Line,
  lines,
  type Row,
  type Table,
  type Tone,
} from "../output/document.ts";
import { errorText } from "../output/errorText.ts";
import type { VerifyResult } from "../schemas/verify.ts";
import { counted } from "./words.ts";

const MISMATCH = 4;
/** More than these are only in the JSON form. */
const MOST_SHOWN = 20;

export function verifyResult(report: VerifyReport): VerifyResult {
  return {
    checkpoint: report.checkpoint,
    level: report.level,
    ok: report.ok,
    checks: report.checks.map(({ name, status, items, detail }) => ({
      name,
      status,
      items,
      detail: detail ?? null,
    })),
    findings: [...report.findings],
    bytes: report.bytes,
    elapsed_ms: Math.round(report.elapsedMs),
  };
}

/** How the process should end; undefined when all is well. */
export function failureOf({ ok, checks, findings }: VerifyReport): Outcome["failure"] {
  const [first] = findings;
  if (ok || first === undefined) return undefined;
  const unreadable = checks.some(({ name, status }) => name === "headers" && status === "failed");
  const reason = findings.find(({ exit }) => exit !== MISMATCH);
  // a checkpoint that cannot be read is no mismatch but a bad file
  return { exit: unreadable ? (reason ?? first).exit : MISMATCH, first };
}

const MARKS: Readonly<Record<Check["status"], { readonly mark: string; readonly tone: Tone }>> = {
  passed: { mark: "✓", tone: "good" },
  failed: { mark: "✗", tone: "bad" },
  skipped: { mark: "–", tone: "faint" },
};

export function verifyTable({ checks }: VerifyReport): Table {
  return {
    columns: [
      {
        key: "status",
        title: "",
        show: (status) => MARKS[status as Check["status"]].mark,
        tone: (status) => MARKS[status as Check["status"]].tone,
      },
      { key: "check", title: "check" },
      { key: "items", title: "items", align: "right" },
      { key: "detail", title: "" },
    ],
    rows: checks.map(
      ({ name, status, items, detail }): Row => ({
        status,
        check: name,
        items,
        detail: detail ?? null,
      }),
    ),
  };
}

export function verifyDocument(report: VerifyReport): Document {
  return [
    { kind: "table", table: verifyTable(report) },
    ...findingBlocks(report),
    lines(verdict(report)),
  ];
}

/** The findings, as errors are shown. */
export function findingBlocks({ findings }: VerifyReport): Block[] {
  const shown = findings.slice(0, MOST_SHOWN).map((finding): Block => {
    return { kind: "text", text: errorText(finding, false) };
  });
  const more = findings.length - shown.length;
  return more > 0 ? [...shown, lines([faint(`and ${more} more; --json has all`)])] : shown;
}

const LEVEL_WORDS: Readonly<Record<VerifyReport["level"], string>> = {
  structure: "structure",
  hash: "structure + hashes",
  full: "structure + hashes + every weight recomputed from the source",
};

function verdict({ ok, checkpoint, level, findings, elapsedMs }: VerifyReport): Line {
  const how = `${LEVEL_WORDS[level]} in ${formatDuration(elapsedMs)}`;
  if (ok) return [good("✓"), ` ${checkpoint} is what it should be `, faint(`(${how})`)];
  return [
    bad("✗"),
    ` ${checkpoint} is not what it should be: ${counted(findings.length, "finding")} `,
    faint(`(${how})`),
  ];
}
