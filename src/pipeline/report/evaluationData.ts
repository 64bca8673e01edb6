/** An evaluation's report as the page takes it. */
import type { EvalReport } from "../../eval/report.ts";
import type { EvaluationData, Fact } from "../../report/index.ts";

export function evaluationData(report: EvalReport): EvaluationData {
  const { model, perplexity, stderr, base, gates } = report;
  return {
    model: model.path,
    protocol: protocolText(report),
    sparsity: model.sparsity,
    perplexity,
    stderr,
    base:
      base === null
        ? undefined
        : {
            model: base.model.path,
            perplexity: base.perplexity,
            stderr: base.stderr,
            delta: base.delta,
            kl: base.kl,
            agreement: base.agreement,
          },
    gates: gates.map(({ gate, passed }) => ({ gate, passed })),
    provenance: evaluationFacts(report),
  };
}

/** "wanda protocol, windows of 512, heldout.txt" */
export function protocolText({ protocol, ctx, stride, dataset }: EvalReport): string {
  const overlap = protocol === "strided" ? `, stride ${stride}` : "";
  return `${protocol} protocol, windows of ${ctx}${overlap}, ${nameOf(dataset.path)}`;
}

export function nameOf(path: string): string {
  return path.split(/[\\/]/).findLast((part) => part !== "") ?? path;
}

export function evaluationFacts(report: EvalReport): Fact[] {
  const { model, dataset, tokenizer, protocol, ctx, bos, windows, scored, engine } = report;
  const count = (value: number): string => value.toLocaleString("en-US");
  return [
    ["model", `${model.path} (${model.family}, ${model.format})`],
    ...model.files.map(({ path, sha256 }): Fact => [path, sha256]),
    ...(model.manifest_sha256 === null ? [] : [["manifest", model.manifest_sha256] as Fact]),
    [
      "text",
      `${dataset.path}, ${count(dataset.documents)} document${dataset.documents === 1 ? "" : "s"}`,
    ],
    ["text as it was tokenised", dataset.sha256],
    ["tokenizer.json", tokenizer.sha256],
    [
      "protocol",
      `${protocol}, windows of ${ctx}, BOS ${bos}, ${count(windows)} windows, ${count(scored)} tokens scored`,
    ],
    ["engine", engine],
    ["evaluated", report.evaluated],
  ];
}
