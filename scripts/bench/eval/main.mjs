/**
 * `npm run bench:eval`: how long an evaluation takes beside transformers and PyTorch, on the same
 * windows in the same run, and how much memory both take. Prints a table; --json the numbers.
 *
 * --model FOLDER (models/demo)  --text FILE (models/demo/heldout.txt)  --ctx N (512)
 * --windows N (32)  --rounds N (3)  --threads N (2)  --engine NAME (auto)  --json
 *
 * Rounds are interleaved, so that what else the machine does hits both alike; medians are compared.
 * Of PyTorch only the loop over the windows is timed, with the model in memory and the text
 * tokenised; of SpInfer everything from opening the files to the result.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildIfStale } from "../../build.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SCRIPT = join(ROOT, "test/eval/python/perplexity.py");
const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: join(ROOT, "models/demo") },
    text: { type: "string", default: join(ROOT, "models/demo/heldout.txt") },
    ctx: { type: "string", default: "512" },
    windows: { type: "string", default: "32" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    engine: { type: "string", default: "auto" },
    json: { type: "boolean", default: false },
  },
});
buildIfStale();
const interpreter = findPython();
const ours = [];
const theirs = [];
for (let round = 0; round < Number(options.rounds); round++) {
  note(`round ${round + 1}: SpInfer`);
  ours.push(runSpInfer());
  note(`round ${round + 1}: PyTorch`);
  theirs.push(runPyTorch());
}
const result = {
  schema: "spinfer.bench.eval/1",
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}`,
  threads: Number(options.threads),
  rounds: ours.length,
  ctx: Number(options.ctx),
  windows: ours[0].windows,
  tokens: ours[0].windows * Number(options.ctx),
  engine: ours[0].engine,
  perplexity: ours[0].perplexity,
  pytorch_perplexity: theirs[0].perplexity,
  spinfer: summary(ours),
  pytorch: summary(theirs),
};
result.ratio = result.spinfer.seconds / result.pytorch.seconds;
result.process_ratio = result.spinfer.process_seconds / result.pytorch.process_seconds;
console.log(options.json ? JSON.stringify(result) : table(result));

function runSpInfer() {
  const tell =
    "process.on('exit',()=>process.stderr.write('\\npeak '+process.resourceUsage().maxRSS*1024+'\\n'))";
  const words = ["--dataset", options.text, "--ctx", options.ctx, "--max-windows", options.windows];
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...["--import", `data:text/javascript,${tell}`, join(ROOT, "dist/src/cli/main.js")],
      ...["eval", options.model, ...words, "--threads", options.threads],
      ...["--engine", options.engine, "--progress", "none", "--json"],
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`spinfer eval ended with ${status}: ${stderr}`);
  const { result: report } = JSON.parse(stdout);
  return {
    seconds: report.elapsed_ms / 1000,
    process_seconds: (performance.now() - begun) / 1000,
    peak_bytes: Number(/\npeak (\d+)/.exec(stderr)[1]),
    windows: report.windows,
    perplexity: report.perplexity,
    engine: report.engine,
  };
}

function runPyTorch() {
  const ctx = Number(options.ctx);
  const job = {
    model: options.model,
    text: options.text,
    protocol: "wanda",
    ctx,
    max_windows: Number(options.windows),
    batch: Math.max(1, Math.floor(2048 / ctx)), // as many tokens at a time as SpInfer takes
    threads: Number(options.threads),
  };
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(interpreter, [SCRIPT, JSON.stringify([job])], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1", PYTHONUTF8: "1" },
  });
  if (status !== 0) throw new Error(`the PyTorch script ended with ${status}: ${stderr}`);
  const [{ seconds, peak_bytes, perplexity }] = JSON.parse(stdout);
  const process_seconds = (performance.now() - begun) / 1000;
  return { seconds, process_seconds, peak_bytes, perplexity };
}

/** The interpreter of the tests' virtual environment, or one in the PATH that has transformers. */
function findPython() {
  const own = process.platform === "win32" ? ".venv/Scripts/python.exe" : ".venv/bin/python";
  const candidates = [process.env.SPINFER_TEST_PYTHON, join(ROOT, own), "python3", "python"];
  const found = candidates.find((name) => {
    if (!name || (name.includes("/") && !existsSync(name))) return false;
    return spawnSync(name, ["-c", "import torch, transformers"]).status === 0;
  });
  if (found === undefined) throw new Error("no Python with torch and transformers to compare with");
  return found;
}

function summary(runs) {
  return {
    seconds: median(runs.map(({ seconds }) => seconds)),
    best_seconds: Math.min(...runs.map(({ seconds }) => seconds)),
    process_seconds: median(runs.map(({ process_seconds }) => process_seconds)),
    peak_bytes: Math.max(...runs.map(({ peak_bytes }) => peak_bytes)),
  };
}

function table({ date, machine, rounds, threads, ctx, tokens, windows, engine, ...figures }) {
  const { spinfer, pytorch, ratio, process_ratio, perplexity, pytorch_perplexity } = figures;
  const row = (name, { seconds, best_seconds, process_seconds, peak_bytes }) =>
    `| ${name} | ${seconds.toFixed(2)} (${best_seconds.toFixed(2)}) | ${Math.round(tokens / seconds)} | ${process_seconds.toFixed(2)} | ${Math.round(peak_bytes / 1e6)} MB |`;
  const apart = Math.abs(perplexity / pytorch_perplexity - 1);
  return [
    `${date}, ${machine}; ${windows} windows of ${ctx} tokens, ${threads} threads, ${rounds} rounds, median (best)`,
    "",
    "| evaluation | seconds | tokens a second | whole process | peak memory |",
    "| --- | ---: | ---: | ---: | ---: |",
    row(`spinfer eval (${engine})`, spinfer),
    row("transformers + PyTorch", pytorch),
    "",
    `SpInfer takes ${ratio.toFixed(2)} × the time, ${process_ratio.toFixed(2)} × as a whole process; the perplexities are ${apart.toExponential(1)} apart.`,
  ].join("\n");
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function note(text) {
  process.stderr.write(`${text}\n`);
}
