/**
 * `npm run bench:eval`: how long an evaluation, or calibrating and pruning, takes beside transformers
 * and PyTorch, on the same windows in the same run, and how much memory both take. Prints tables;
 * --json the numbers.
 *
 * --what LIST (eval)  of eval, wanda, sparsegpt
 * --model FOLDER (models/demo)  --text FILE (models/demo/heldout.txt)
 * --rounds N (3)  --threads N (2)  --engine NAME (auto)  --json
 * eval:              --ctx N (512)  --windows N (32)  --exact: also with PyTorch's losses in float64
 * wanda, sparsegpt:  --nsamples N (16)  --seqlen N (512)  --sparsity S (0.5)
 *
 * Rounds are interleaved, so that what else the machine does hits both alike; medians are compared.
 */
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildIfStale } from "../../build.mjs";
import { benchEvaluation, evaluationTable } from "./evaluation.mjs";
import { findPython, ROOT } from "./processes.mjs";
import { benchPruning, pruningTable } from "./pruning.mjs";

const WHAT = {
  eval: { bench: benchEvaluation, table: evaluationTable },
  wanda: { bench: (...given) => benchPruning("wanda", ...given), table: pruningTable },
  sparsegpt: { bench: (...given) => benchPruning("sparsegpt", ...given), table: pruningTable },
};
const { values: options } = parseArgs({
  options: {
    what: { type: "string", default: "eval" },
    model: { type: "string", default: join(ROOT, "models/demo") },
    text: { type: "string", default: join(ROOT, "models/demo/heldout.txt") },
    ctx: { type: "string", default: "512" },
    windows: { type: "string", default: "32" },
    nsamples: { type: "string", default: "16" },
    seqlen: { type: "string", default: "512" },
    sparsity: { type: "string", default: "0.5" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    engine: { type: "string", default: "auto" },
    exact: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const asked = options.what.split(",");
const unknown = asked.find((name) => WHAT[name] === undefined);
if (unknown !== undefined) {
  console.error(`--what ${unknown}: there is ${Object.keys(WHAT).join(", ")}`);
  process.exit(2);
}
buildIfStale();
const interpreter = findPython();
const result = {
  schema: "spinfer.bench.eval/2",
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}`,
  threads: Number(options.threads),
  rounds: Number(options.rounds),
  results: asked.map((name) => WHAT[name].bench(options, interpreter)),
};
if (options.json) console.log(JSON.stringify(result));
else {
  const { date, machine, threads, rounds, results } = result;
  console.log(`${date}, ${machine}; ${threads} threads, ${rounds} rounds, median (best)`);
  for (const one of results) console.log(`\n${WHAT[one.what].table(one)}`);
}
