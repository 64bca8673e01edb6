/**
 * An evaluation beside transformers and PyTorch. Of PyTorch only the loop over the windows is timed,
 * with the model in memory and the text tokenised; of SpInfer everything from opening the files to
 * the result.
 */
import { join } from "node:path";
import { note, ROOT, ratios, runPython, runSpInfer, summary } from "./processes.mjs";

const SCRIPT = join(ROOT, "test/eval/python/perplexity.py");

export function benchEvaluation(options, interpreter) {
  const ctx = Number(options.ctx);
  const runs = { spinfer: [], pytorch: [] };
  for (let round = 1; round <= Number(options.rounds); round++) {
    note(`evaluation, round ${round}: SpInfer`);
    runs.spinfer.push(ours(options));
    note(`evaluation, round ${round}: PyTorch`);
    runs.pytorch.push(theirs(options, interpreter, ctx));
  }
  const exact = options.exact ? theirs(options, interpreter, ctx, true).perplexity : null;
  const [{ windows, engine, perplexity }] = runs.spinfer;
  const [spinfer, pytorch] = [summary(runs.spinfer), summary(runs.pytorch)];
  return {
    ...{ what: "eval", ctx, windows, tokens: windows * ctx, engine },
    ...{ perplexity, pytorch_perplexity: runs.pytorch[0].perplexity, exact },
    ...{ spinfer, pytorch, ...ratios(spinfer, pytorch) },
  };
}

function ours(options) {
  const { said, ...used } = runSpInfer([
    ...["eval", options.model, "--dataset", options.text, "--ctx", options.ctx],
    ...["--max-windows", options.windows, "--threads", options.threads],
    ...["--engine", options.engine],
  ]);
  const { elapsed_ms, windows, perplexity, engine } = said.result;
  return { seconds: elapsed_ms / 1000, windows, perplexity, engine, ...used };
}

function theirs(options, interpreter, ctx, exactLoss = false) {
  const job = {
    model: options.model,
    text: options.text,
    protocol: "wanda",
    ctx,
    max_windows: Number(options.windows),
    batch: Math.max(1, Math.floor(2048 / ctx)), // as many tokens at a time as SpInfer takes
    threads: Number(options.threads),
    exact_loss: exactLoss,
  };
  const { said, process_seconds } = runPython(interpreter, SCRIPT, [job]);
  const [{ seconds, peak_bytes, perplexity }] = said;
  return { seconds, peak_bytes, perplexity, process_seconds };
}

export function evaluationTable(result) {
  const { ctx, tokens, windows, engine, spinfer, pytorch, ratio, process_ratio } = result;
  const row = (name, { seconds, best_seconds, process_seconds, peak_bytes }) =>
    `| ${name} | ${seconds.toFixed(2)} (${best_seconds.toFixed(2)}) | ${Math.round(tokens / seconds)} | ${process_seconds.toFixed(2)} | ${Math.round(peak_bytes / 1e6)} MB |`;
  const apart = (other) => Math.abs(result.perplexity / other - 1).toExponential(1);
  const { exact } = result;
  return [
    `| evaluation, ${windows} windows of ${ctx} tokens | seconds | tokens a second | whole process | peak memory |`,
    "| --- | ---: | ---: | ---: | ---: |",
    row(`spinfer eval (${engine})`, spinfer),
    row("transformers + PyTorch", pytorch),
    "",
    `SpInfer takes ${ratio.toFixed(2)} × the time, ${process_ratio.toFixed(2)} × as a whole process; the perplexities are ${apart(result.pytorch_perplexity)} apart.`,
    ...(exact === null ? [] : [`With PyTorch's losses in float64: ${apart(exact)}.`]),
  ].join("\n");
}
