/**
 * `npm run bench:engine -- MODEL`: how fast a model folder runs and is scored, beside transformers
 * and PyTorch on the same tokens and as many threads. Prints a table; --json prints the numbers.
 *
 * --length N (1024)  --windows N (4)  --threads N (all)  --rounds N (3)  --engine NAME (auto)  --json
 *
 * Also prints where the native engine's time goes.
 *
 * Rounds are interleaved, so that what else the machine does hits both alike. The clocks start when
 * the libraries are loaded; weights are read within for SpInfer, before for PyTorch.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildIfStale } from "../../build.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    length: { type: "string", default: "1024" },
    windows: { type: "string", default: "4" },
    threads: { type: "string", default: String(availableParallelism()) },
    rounds: { type: "string", default: "3" },
    engine: { type: "string", default: "auto" },
    json: { type: "boolean", default: false },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error("usage: npm run bench:engine -- MODEL [--length N] [--windows N] [--threads N]");
  process.exit(2);
}
const python = process.env.SPINFER_TEST_PYTHON || join(ROOT, ".venv/bin/python");
if (!existsSync(python)) {
  console.error("no Python test environment (.venv); npm test makes one");
  process.exit(2);
}
buildIfStale();

const args = [model, options.length, options.windows, options.threads];
const runs = { spinfer: [], pytorch: [] };
for (let round = 0; round < Number(options.rounds); round++) {
  runs.spinfer.push(
    measure(process.execPath, [join(HERE, "forward.mjs"), ...args, options.engine]),
  );
  runs.pytorch.push(measure(python, [join(HERE, "torchForward.py"), ...args]));
}
const result = {
  schema: "spinfer.bench.engine/1",
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}`,
  length: Number(options.length),
  windows: Number(options.windows),
  threads: Number(options.threads),
  rounds: Number(options.rounds),
  engine: runs.spinfer[0].engine,
  spinfer: summary(runs.spinfer),
  pytorch: summary(runs.pytorch),
  calls: runs.spinfer[0].calls,
};
console.log(options.json ? JSON.stringify(result) : table(result));

/** One process that prints { seconds, processorSeconds, tokens, loss, megabytes }. */
function measure(command, commandArgs) {
  const { status, stdout, stderr } = spawnSync(command, commandArgs, {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  if (status !== 0) throw new Error(`${command} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout);
}

function summary(measured) {
  const median = (key) =>
    measured.map((run) => run[key]).sort((a, b) => a - b)[Math.floor((measured.length - 1) / 2)];
  return {
    seconds: median("seconds"),
    bestSeconds: Math.min(...measured.map(({ seconds }) => seconds)),
    processorSeconds: median("processorSeconds"),
    tokensPerSecond: measured[0].tokens / median("seconds"),
    megabytes: median("megabytes"),
    loss: measured[0].loss,
  };
}

function table(result) {
  const { machine, date, length, windows, threads, rounds, engine, spinfer, pytorch } = result;
  const row = (
    name,
    { seconds, bestSeconds, processorSeconds, tokensPerSecond, megabytes, loss },
  ) =>
    `| ${name} | ${seconds.toFixed(2)} (${bestSeconds.toFixed(2)}) | ${processorSeconds.toFixed(2)} | ` +
    `${tokensPerSecond.toFixed(0)} | ${megabytes.toFixed(0)} | ${loss.toFixed(5)} |`;
  const ratio = (key) => (spinfer[key] / pytorch[key]).toFixed(2);
  return [
    `${date}, ${machine}; ${windows} windows of ${length} tokens, ${threads} threads, ${rounds} rounds`,
    "",
    "| | seconds, median (best) | processor seconds | tokens/s | peak MB | mean loss |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    row(`SpInfer (${engine})`, spinfer),
    row("PyTorch", pytorch),
    `| ratio | ${ratio("seconds")} (${ratio("bestSeconds")}) | ${ratio("processorSeconds")} | | ${ratio("megabytes")} | |`,
    "",
    ...Object.entries(result.calls)
      .sort(([, a], [, b]) => b - a)
      .map(([name, seconds]) => `- ${name}: ${seconds.toFixed(2)} s`),
  ].join("\n");
}
