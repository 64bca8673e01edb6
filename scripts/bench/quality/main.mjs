/**
 * The table of what pruning costs in perplexity: every method at 50 %, 60 % and 2:4, calibrated on
 * the first half of a text and evaluated on the second, ours beside methods written in PyTorch.
 *
 *   node scripts/bench/quality/main.mjs --gguf MODEL.gguf --text TEXT --out DIR
 *
 * --model FOLDER or --gguf FILE (models/demo)  --text FILE (its held-out text)  --out DIR (quality)
 * --nsamples N (16)  --seqlen N (1024)  --ctx N (1024)  --max-windows N (32)  --seconds N (540)
 * --methods LABEL,… and --amounts LABEL,… (all, as the table names them)
 * --work DIR (a folder that is removed)  --jobs N, --threads N  --python NAME
 *
 * One calibration in one pass with Gram matrices serves all methods, on both sides. PyTorch runs on a
 * GPU where there is one, in float32. Each of our folders is evaluated by our engine and by PyTorch.
 * What has not begun after --seconds is left out and says so. Writes quality.md and quality.json, anew
 * after each point.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { table } from "./table.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CLI = join(ROOT, "dist/src/cli/main.js");
const cores = availableParallelism();
const { values: options } = parseArgs({
  options: {
    gguf: { type: "string" },
    model: { type: "string", default: join(ROOT, "models/demo") },
    text: { type: "string", default: join(ROOT, "models/demo/heldout.txt") },
    out: { type: "string", default: process.env.OUT ?? "quality" },
    work: { type: "string" },
    methods: { type: "string" },
    amounts: { type: "string" },
    nsamples: { type: "string", default: "16" },
    seqlen: { type: "string", default: "1024" },
    ctx: { type: "string", default: "1024" },
    "max-windows": { type: "string", default: "32" },
    seconds: { type: "string", default: "540" },
    jobs: { type: "string", default: String(Math.max(1, Math.floor(cores / 4))) },
    threads: { type: "string", default: String(Math.min(4, cores)) },
    python: { type: "string", default: process.env.SPINFER_TEST_PYTHON ?? "python3" },
  },
});
const began = performance.now();
const work = options.work ?? mkdtempSync(join(tmpdir(), "spinfer-quality-"));
const out = resolve(options.out);
for (const folder of [work, out]) mkdirSync(folder, { recursive: true });

const AMOUNTS = [
  { label: "50 %", sparsity: 0.5 },
  { label: "60 %", sparsity: 0.6 },
  { label: "2:4", pattern: [2, 4] },
];
const METHODS = [
  { label: "magnitude", method: "magnitude", reference: true },
  { label: "Wanda", method: "wanda", reference: true },
  { label: "RIA", method: "ria", reference: true },
  { label: "SparseGPT", method: "sparsegpt", reference: true },
  { label: "DSnoT", method: "dsnot" },
  { label: "OWL (Wanda)", method: "wanda", settings: { allocation: "owl" } },
  { label: "tile-balanced", method: "tile-balanced" },
  {
    label: "DSnoT of attention", // as its authors run it
    method: "dsnot",
    settings: { overrides: [{ targets: ["*.mlp.*"], method: "wanda" }] },
  },
];

const result = {
  schema: "spinfer.bench.quality/1",
  date: new Date().toISOString().slice(0, 10),
  command: command(),
  machine: `${cpus()[0]?.model.trim()}, ${cores} cores, Node ${process.version}`,
  jobs: Number(options.jobs),
  threads: Number(options.threads),
  settings: {
    nsamples: Number(options.nsamples),
    seqlen: Number(options.seqlen),
    ctx: Number(options.ctx),
    max_windows: Number(options["max-windows"]),
  },
  text: cutText(),
  points: chosen(METHODS, options.methods).flatMap(({ label, ...method }) =>
    chosen(AMOUNTS, options.amounts).map(({ label: amount, ...rest }) => ({
      label,
      amount,
      ...method,
      ...rest,
    })),
  ),
};

try {
  await main();
} finally {
  if (options.work === undefined) rmSync(work, { recursive: true, force: true });
}

async function main() {
  let model = resolve(options.model);
  if (options.gguf !== undefined) {
    model = join(work, "dense");
    result.convert = await spinfer(["convert", options.gguf, "-o", model, "--to", "dense"], cores);
  }
  result.model = modelFacts(model);
  const python = startPython(model);
  // asked before any folder is ready, so that the masks are there to compare with
  const answers = [
    python.answer().then((facts) => {
      result.reference = facts;
    }),
    ...result.points.filter((point) => point.reference).map((point) => reference(point, python)),
  ].map((answered) => answered.catch((error) => note(error.message)));
  const statistics = join(work, "calibration.statistics");
  const { nsamples, seqlen } = options;
  result.calibrate = await spinfer(
    ["calibrate", model, "--calib", text("calibration"), "--nsamples", nsamples]
      .concat(["--seqlen", seqlen, "--mode", "one-pass", "--method", "sparsegpt"])
      .concat(["-o", statistics]),
    cores,
  );
  note(`calibrated in ${result.calibrate.seconds.toFixed(1)} s`);
  const tasks = [
    async () => {
      result.dense = await evaluate(model);
    },
    ...result.points.map(
      (point, index) => () =>
        ourPoint(point, join(work, `point-${index}`), { model, statistics, python, answers }),
    ),
  ];
  // one that fails leaves its place in the table empty
  const kept = tasks.map((task) => () => task().catch((error) => note(error.message)));
  await inParallel(kept, Number(options.jobs));
  await Promise.all(answers);
  await python.end();
  save();
  console.log(table(result));
}

async function reference(point, python) {
  point.theirs = await python.ask({ do: "reference", ...jobOf(point) });
  note(`PyTorch: ${point.label} ${point.amount}: ${point.theirs.perplexity.toFixed(3)}`);
}

/** Prunes to a dense folder, evaluates it with our engine, then with PyTorch. */
async function ourPoint(point, folder, { model, statistics, python, answers }) {
  if ((performance.now() - began) / 1000 > Number(options.seconds)) return;
  const { method, sparsity, pattern, settings } = point;
  const amount = pattern ? { pattern: pattern.join(":") } : { sparsity };
  const recipe = {
    version: 1,
    prune: { method, ...amount, ...settings },
    convert: { to: "dense" },
  };
  writeFileSync(`${folder}.yaml`, JSON.stringify(recipe));
  point.prune = await spinfer(
    ["prune", model, "-o", folder, "--recipe", `${folder}.yaml`, "--verify", "none"].concat(
      method === "magnitude" ? [] : ["--stats", statistics],
    ),
  );
  point.ours = await evaluate(folder);
  const compared = point.reference ? jobOf(point) : { method: "none" };
  note(`${point.label} ${point.amount}: ${point.ours.perplexity.toFixed(3)}`);
  // not waited for: another point may begin meanwhile
  answers.push(
    python
      .ask({ do: "folder", folder, ...compared })
      .then((answer) => {
        point.inPyTorch = answer;
        rmSync(folder, { recursive: true });
      })
      .catch((error) => note(error.message))
      .finally(save),
  );
}

/** As it was called, without where this machine keeps things. */
function command() {
  const words = process.argv.slice(2).map((word) => (word.includes("/") ? basename(word) : word));
  return ["node", "scripts/bench/quality/main.mjs", ...words].join(" ");
}

/** Those whose labels a comma-separated list has; all without a list. */
function chosen(entries, list) {
  if (list === undefined) return entries;
  const labels = list.split(",");
  const unknown = labels.find((label) => !entries.some((entry) => entry.label === label));
  if (unknown !== undefined)
    throw new Error(`no "${unknown}"; there is: ${entries.map(({ label }) => label).join(", ")}`);
  return entries.filter(({ label }) => labels.includes(label));
}

function jobOf({ method, sparsity, pattern }) {
  return { method, ...(pattern ? { pattern } : { sparsity }) };
}

async function evaluate(folder) {
  const run = await spinfer(
    ["eval", folder, "--dataset", text("evaluation"), "--ctx", options.ctx]
      .concat(["--max-windows", options["max-windows"]])
      .concat(["--tokenizer", join(result.model.folder, "tokenizer.json")]),
  );
  const { perplexity, tokens, windows, engine } = run.data.result;
  return { perplexity, tokens, windows, engine, seconds: run.seconds, peak_bytes: run.peak_bytes };
}

/** Runs our command line in a process of its own: how long it took and how much memory. */
async function spinfer(words, threads = options.threads) {
  const tell =
    "import{isMainThread}from'node:worker_threads';if(isMainThread)" +
    "process.on('exit',()=>process.stderr.write('\\npeak '+process.resourceUsage().maxRSS*1024+'\\n'))";
  const flags = ["--threads", String(threads), "--progress", "none", "--json"];
  const from = performance.now();
  const child = spawn(
    process.execPath,
    ["--import", `data:text/javascript,${tell}`, CLI, ...words, ...flags],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const collected = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"])
    child[name].setEncoding("utf8").on("data", (part) => {
      collected[name] += part;
    });
  const status = await new Promise((done) => child.on("close", done));
  if (status !== 0)
    throw new Error(`spinfer ${words.join(" ")} ended with ${status}: ${collected.stderr}`);
  const found = {
    seconds: (performance.now() - from) / 1000,
    peak_bytes: Number(/\npeak (\d+)/.exec(collected.stderr)[1]),
  };
  // what only the caller needs is not part of the record
  return Object.defineProperty(found, "data", { value: JSON.parse(collected.stdout) });
}

/** The PyTorch process; answers come in the order of the questions. */
function startPython(model) {
  const setup = {
    model,
    dtype: result.model.dtype,
    calibration: text("calibration"),
    evaluation: text("evaluation"),
    ...result.settings,
    batch: Math.max(1, Math.floor(4096 / result.settings.ctx)),
    threads: Number(options.threads),
  };
  const script = join(ROOT, "scripts/bench/quality/reference.py");
  const child = spawn(options.python, [script, JSON.stringify(setup)], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, HF_HUB_OFFLINE: "1", PYTHONUTF8: "1" },
  });
  const waiting = [];
  let failure;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { accept, refuse } = waiting.shift();
    const found = JSON.parse(line);
    if (found.failed === undefined) accept(found);
    else refuse(new Error(`PyTorch: ${found.failed}`));
  });
  child.stdin.on("error", () => {}); // it has ended, and says so below
  const closed = new Promise((done) => child.on("close", done)).then((status) => {
    failure = new Error(`the PyTorch script ended with ${status}`);
    for (const { refuse } of waiting.splice(0)) refuse(failure);
  });
  const answer = () =>
    new Promise((accept, refuse) => {
      if (failure !== undefined) refuse(failure);
      else waiting.push({ accept, refuse });
    });
  return {
    answer,
    ask(job) {
      const next = answer();
      if (failure === undefined) child.stdin.write(`${JSON.stringify(job)}\n`);
      return next;
    },
    async end() {
      child.stdin.end();
      await closed;
    },
  };
}

async function inParallel(tasks, most) {
  const left = [...tasks];
  const one = async () => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) await task();
  };
  await Promise.all(Array.from({ length: most }, one));
}

/** Cuts at the line end nearest to the middle byte; the line end belongs to the first half. */
function cutText() {
  const bytes = readFileSync(options.text);
  const middle = Math.floor(bytes.length / 2);
  const before = bytes.lastIndexOf(10, middle - 1) + 1;
  const after = bytes.indexOf(10, middle) + 1;
  const cut = after > 0 && after - middle < middle - before ? after : before;
  if (cut === 0 || cut === bytes.length) throw new Error("the text has no line end to cut at");
  const halves = { calibration: bytes.subarray(0, cut), evaluation: bytes.subarray(cut) };
  const facts = Object.entries(halves).map(([name, half]) => {
    writeFileSync(text(name), half);
    return [name, { bytes: half.length, sha256: sha256(half) }];
  });
  return { bytes: bytes.length, sha256: sha256(bytes), ...Object.fromEntries(facts) };
}

function text(half) {
  return join(work, `${half}.txt`);
}

/** Folder and dtype, for rounding on PyTorch's side; hash of what is pruned. */
function modelFacts(folder) {
  const weights = readFileSync(join(folder, "model.safetensors"));
  const header = JSON.parse(weights.subarray(8, 8 + Number(weights.readBigUInt64LE(0))).toString());
  const name = Object.keys(header).find((tensor) => tensor.endsWith("mlp.down_proj.weight"));
  const dtype = { F16: "float16", BF16: "bfloat16", F32: "float32" }[header[name].dtype];
  const source = options.gguf === undefined ? weights : readFileSync(options.gguf);
  return { folder, dtype, sha256: sha256(source), from: options.gguf ? "GGUF" : "safetensors" };
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** After each point, so that a run that is cut off leaves what it has. */
function save() {
  result.elapsed_seconds = (performance.now() - began) / 1000;
  writeFileSync(join(out, "quality.md"), table(result));
  writeFileSync(join(out, "quality.json"), `${JSON.stringify(result, null, 1)}\n`);
}

function note(words) {
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0)} s: ${words}\n`);
}
