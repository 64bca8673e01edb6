import { describe, expect, it } from "vitest";
import { humanText } from "../../src/cli/output/humanText.ts";
import { runDocument } from "../../src/cli/views/run.ts";
import type { RunReport } from "../../src/pipeline/runReport.ts";
import type { VerifyReport } from "../../src/pipeline/verify.ts";

const report: RunReport = {
  output: "/somewhere/out",
  format: "tile-bitmap",
  tensors: 38,
  pruned: 28,
  packed: 28,
  sparsity: 0.5,
  bytesIn: 6_300_152,
  bytesOut: 3_914_928,
  nonfinite: 0,
  overflowed: 0,
  underflowed: 0,
  resumedTensors: 0,
  manifestSha256: "0".repeat(64),
  elapsedMs: 500,
  warnings: [],
};

const verified: VerifyReport = {
  checkpoint: "/somewhere/out",
  level: "hash",
  ok: true,
  checks: [],
  findings: [],
  bytes: 1,
  elapsedMs: 90,
};

function shown(
  changes: Partial<RunReport>,
  { pruned = true, check = verified }: { pruned?: boolean; check?: VerifyReport } = {},
): string {
  const facts = { report: { ...report, ...changes }, verified: check, shownOutput: "out", pruned };
  return humanText(runDocument(facts), false);
}

describe("what a run says at its end", () => {
  it("names the output as the user did, with its size", () => {
    expect(shown({})).toMatch(/^✓ wrote out \(3\.91 MB, 37\.9 % smaller\) in 500 ms\n/);
    expect(shown({})).not.toContain("not smaller");
  });

  it.each([
    [
      "a quantized source",
      { bytesIn: 2_000_000 },
      "the source stores its weights in fewer bits than the 16 of the output",
    ],
    [
      "weights with too few zeros",
      { packed: 0, bytesOut: 6_300_152 },
      "no weight was packed; `spinfer plan` with the same options says why for each",
    ],
    [
      "dense files",
      { format: "dense" as const, packed: 0, bytesOut: 6_300_152 },
      "dense files store zeros too; --to tile-bitmap leaves them out",
    ],
  ])("is honest about %s", (_, changes, why) => {
    expect(shown(changes)).toContain(`\n  not smaller: ${why}\n`);
  });

  it("expects no saving when packed weights are made dense", () => {
    const text = shown({ format: "dense", packed: 0, bytesOut: 9_000_000 }, { pruned: false });
    expect(text).toContain("(9.00 MB, 42.9 % larger)");
    expect(text).not.toContain("not smaller");
  });

  it("says what a resumed run found done", () => {
    expect(shown({ resumedTensors: 5 })).toContain("are zero · 5 found done\n");
  });

  it("names the statistics that a full verification needs", () => {
    const facts = { report, verified, shownOutput: "out", pruned: true, statistics: "my stats" };
    const text = humanText(runDocument(facts), false);
    expect(text).toContain("spinfer verify out --level full --stats 'my stats'\n");
    expect(shown({})).toContain("spinfer verify out --level full\n");
  });

  it("shows findings, and no next steps, when its output is not what it should be", () => {
    const check: VerifyReport = {
      ...verified,
      ok: false,
      findings: [
        {
          schema: "spinfer.error/1",
          code: "E_HASH",
          exit: 4,
          message: "out/model.safetensors: the file is not what the manifest says",
          path: null,
          tensor: null,
          offset: null,
          found: null,
          expected: null,
          hint: null,
        },
      ],
    };
    const text = shown({}, { check });
    expect(text).toContain("  verify ✗ level hash in 90 ms\n");
    expect(text).toContain("error[E_HASH]: out/model.safetensors: the file is not what");
    expect(text).not.toContain("next:");
  });
});
