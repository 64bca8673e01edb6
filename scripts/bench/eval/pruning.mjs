/**
 * Calibrating and pruning beside PyTorch, block after block as the papers' code does it. Of PyTorch
 * only that is timed, from the model and the windows in memory to pruned weights in memory, and
 * saving them apart; of SpInfer the whole command with reading, hashing, packing, writing and
 * verifying. How many windows PyTorch takes at once is the better of one and several.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { note, ROOT, ratios, runPython, runSpInfer, summary } from "./processes.mjs";

const SCRIPT = join(ROOT, "scripts/bench/eval/prune.py");
/** Windows that PyTorch takes at once. */
const BATCHES = [1, 4];

export function benchPruning(method, options, interpreter) {
  const work = mkdtempSync(join(tmpdir(), "spinfer-bench-"));
  try {
    return measure(method, options, interpreter, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function measure(method, options, interpreter, work) {
  const spinfer = [];
  const pytorch = BATCHES.map(() => []);
  for (let round = 1; round <= Number(options.rounds); round++) {
    note(`${method}, round ${round}: SpInfer`);
    spinfer.push(ours(method, options, join(work, "spinfer")));
    for (const [index, batch] of BATCHES.entries()) {
      note(`${method}, round ${round}: PyTorch, windows at once: ${batch}`);
      pytorch[index].push(theirs(method, options, interpreter, batch, join(work, "pytorch")));
    }
  }
  const dense = join(work, "dense");
  runSpInfer(["convert", join(work, "spinfer"), "-o", dense, "--to", "dense", "--verify", "none"]);
  const files = [join(dense, "model.safetensors"), join(work, "pytorch")];
  const { mask_agreement } = runPython(interpreter, SCRIPT, { compare: files }).said;
  const theirBest = pytorch
    .map((runs, index) => ({ ...summary(runs), batch: BATCHES[index] }))
    .sort((a, b) => a.seconds - b.seconds)[0];
  const ourSummary = summary(spinfer);
  return {
    ...{ what: method, nsamples: Number(options.nsamples), seqlen: Number(options.seqlen) },
    ...{ sparsity: Number(options.sparsity), mask_agreement, engine: spinfer[0].engine },
    ...{ spinfer: ourSummary, pytorch: theirBest, ...ratios(ourSummary, theirBest) },
  };
}

function ours(method, options, output) {
  const { said, ...used } = runSpInfer([
    ...["prune", options.model, "-o", output, "--force", "--method", method],
    ...["--sparsity", options.sparsity, "--calib", options.text, "--nsamples", options.nsamples],
    ...["--seqlen", options.seqlen, "--threads", options.threads, "--engine", options.engine],
  ]);
  return { seconds: said.elapsed_ms / 1000, ...used };
}

function theirs(method, options, interpreter, batch, output) {
  const { model, text } = options;
  const [nsamples, seqlen, threads] = [options.nsamples, options.seqlen, options.threads].map(
    Number,
  );
  const sparsity = Number(options.sparsity);
  const job = { model, text, nsamples, seqlen, method, sparsity, batch, threads, output };
  const { said, process_seconds } = runPython(interpreter, SCRIPT, job);
  return { ...said, process_seconds };
}

export function pruningTable(result) {
  const { what, nsamples, seqlen, sparsity, spinfer, pytorch, ratio, process_ratio } = result;
  const row = (name, { seconds, best_seconds, process_seconds, peak_bytes }, processor) =>
    `| ${name} | ${seconds.toFixed(1)} (${best_seconds.toFixed(1)}) | ${processor.toFixed(0)} | ${process_seconds.toFixed(1)} | ${Math.round(peak_bytes / 1e6)} MB |`;
  return [
    `| ${what} to ${100 * sparsity} %, ${nsamples} windows of ${seqlen} tokens | seconds | processor | whole process | peak memory |`,
    "| --- | ---: | ---: | ---: | ---: |",
    row("spinfer prune", spinfer, spinfer.processor_seconds),
    row(`PyTorch, ${pytorch.batch} at once`, pytorch, pytorch.processor_seconds),
    "",
    `SpInfer takes ${ratio.toFixed(2)} × the time, ${process_ratio.toFixed(2)} × as a whole process; PyTorch saves in ${pytorch.save_seconds.toFixed(1)} s more. ${(100 * result.mask_agreement).toFixed(3)} % of the masks agree.`,
  ].join("\n");
}
