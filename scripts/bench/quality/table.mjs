/** The Markdown of a quality run. */

/** All of it: what was measured, the table of perplexities, the table of every point. */
export function table(result) {
  return `${[provenance(result), perplexities(result), points(result), spreads(result)].join("\n\n")}\n`;
}

function provenance(result) {
  const { date, machine, jobs, threads, settings, text, model, reference, dense } = result;
  const { calibrate, elapsed_seconds } = result;
  const { nsamples, seqlen, ctx } = settings;
  const device = reference === undefined ? "no PyTorch" : reference.device;
  return [
    `${date}, ${machine}; ${jobs} processes of ${threads} threads. PyTorch ${reference?.torch} in float32 on ${device}.`,
    "",
    `- model: ${model.from}, SHA-256 \`${model.sha256}\`, weights stored as ${model.dtype}`,
    `- text: ${text.bytes} bytes, SHA-256 \`${text.sha256}\`, cut at the line end nearest to its middle`,
    `- calibrated on the first half (${text.calibration.bytes} bytes, SHA-256 \`${text.calibration.sha256}\`): its first ${nsamples} windows of ${seqlen} tokens, in one pass`,
    `- evaluated on the second half (${text.evaluation.bytes} bytes, SHA-256 \`${text.evaluation.sha256}\`): its first ${dense?.windows} windows of ${ctx} tokens, protocol \`wanda\``,
    `- tokens of the second half: ${dense?.tokens} by SpInfer, ${reference?.evaluation_tokens} by transformers`,
    `- calibration with Gram matrices: ${seconds(calibrate)} and ${megabytes(calibrate)} by SpInfer on the CPU, ${reference?.calibrate_seconds.toFixed(1)} s by PyTorch on ${device}`,
    `- everything took ${elapsed_seconds.toFixed(0)} s: \`${result.command}\``,
  ].join("\n");
}

function perplexities({ points, dense, reference }) {
  const amounts = [...new Set(points.map(({ amount }) => amount))];
  const labels = [...new Set(points.map(({ label }) => label))];
  const at = (label, amount) =>
    points.find((point) => point.label === label && point.amount === amount);
  const row = (name, cells) => `| ${[name, ...cells].join(" | ")} |`;
  return [
    "Perplexity:",
    "",
    row("method", amounts),
    row(
      "---",
      amounts.map(() => "---:"),
    ),
    row(
      "dense",
      amounts.map(() => figure(dense?.perplexity)),
    ),
    row(
      "dense, PyTorch",
      amounts.map(() => figure(reference?.dense.perplexity)),
    ),
    ...labels.flatMap((label) => [
      row(
        label,
        amounts.map((amount) => figure(at(label, amount).ours?.perplexity)),
      ),
      ...(at(label, amounts[0]).reference
        ? [
            row(
              `${label}, PyTorch`,
              amounts.map((amount) => figure(at(label, amount).theirs?.perplexity)),
            ),
          ]
        : []),
    ]),
  ].join("\n");
}

function points({ points }) {
  const lines = points.map(({ label, amount, prune, ours, theirs, inPyTorch }) => {
    if (inPyTorch === undefined) {
      const cells = ["not run", figure(ours?.perplexity), "", "", figure(theirs?.perplexity)];
      return `| ${[label, amount, ...cells, "", "", "", "", ""].join(" | ")} |`;
    }
    const apart = Math.abs(ours.perplexity / inPyTorch.perplexity - 1).toExponential(0);
    const { mask_agreement: agreement, zeros, error } = inPyTorch;
    return `| ${[
      ...[label, amount, `${(100 * zeros).toFixed(2)} %`],
      ...[figure(ours.perplexity), figure(inPyTorch.perplexity), apart],
      ...[
        figure(theirs?.perplexity),
        agreement === null ? "" : `${(100 * agreement).toFixed(3)} %`,
      ],
      `${error.toFixed(4)}${theirs === undefined ? "" : ` / ${theirs.error.toFixed(4)}`}`,
      ...[seconds(prune), megabytes(prune), `${seconds(ours)}, ${megabytes(ours)}`],
    ].join(" | ")} |`;
  });
  return [
    "Every point; error is the mean over layers of ‖(W − Ŵ)X‖² / ‖WX‖² (ours / PyTorch's weights):",
    "",
    "| method | amount | zeros | ours | ours in PyTorch | apart | PyTorch's own | masks agree | error | prune | its peak | eval |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...lines,
  ].join("\n");
}

function spreads({ points }) {
  const lines = points
    .filter(({ label, inPyTorch }) => inPyTorch && /^(Wanda|tile-balanced)$/.test(label))
    .map(({ label, amount, inPyTorch: found }) => {
      const { chunk_max_over_mean: most, chunk_worst_max_over_mean: worst } = found;
      const deviation = found.chunk_deviation_over_mean;
      return `| ${label} | ${amount} | ${[most, worst, deviation].map((value) => value.toFixed(4)).join(" | ")} |`;
    });
  return [
    "Nonzeros of 32 × 64 chunks (a kernel waits for the fullest):",
    "",
    "| method | amount | fullest / mean, average of matrices | of the worst matrix | deviation / mean |",
    "| --- | --- | ---: | ---: | ---: |",
    ...lines,
  ].join("\n");
}

function figure(value) {
  if (value === undefined) return "";
  return value >= 1000 ? value.toFixed(0) : value.toFixed(3);
}

function seconds(run) {
  return `${run.seconds.toFixed(1)} s`;
}

function megabytes(run) {
  return `${Math.round(run.peak_bytes / 1e6)} MB`;
}
