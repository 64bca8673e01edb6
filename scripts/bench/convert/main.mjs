/**
 * `npm run bench:convert`: how fast prune + encode is, alone and as a whole process, beside a NumPy
 * script that does the same masking. Prints a table; --json prints the numbers.
 *
 * --rounds N (5)  --gigabytes N (1)  --threads N (2)  --compute-only  --json
 *
 * Rounds are interleaved, so that what else the machine does hits all alike; medians are compared,
 * and the best is shown beside them.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { buildIfStale } from "../../build.mjs";
import { measureCompute, normalHalves } from "./compute.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    gigabytes: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    dist: { type: "string" },
    "compute-only": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
const threads = Number(options.threads);
if (options.dist === undefined) buildIfStale();
const dist = options.dist ?? join(ROOT, "dist");

const compute = await benchCompute();
const whole = options["compute-only"] ? undefined : await benchProcess();
const result = {
  schema: "spinfer.bench.convert/1",
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}`,
  rounds,
  threads,
  compute,
  ...(whole === undefined ? {} : { process: whole }),
};
console.log(options.json ? JSON.stringify(result) : tables(result));

async function benchCompute() {
  const cases = [
    ["wasm", threads],
    ["wasm", 1],
    ["plain", threads],
    ["plain", 1],
  ];
  const taken = cases.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [kernels, count]] of cases.entries()) {
      note(`compute, round ${round + 1}: ${kernels}, ${count} threads`);
      taken[i].push((await measureCompute(pathToFileURL(dist).href, kernels, count, 800)).total);
    }
  }
  return cases.map(([kernels, count], i) => ({
    kernels,
    threads: count,
    median_gb_per_s: median(taken[i]),
    best_gb_per_s: Math.max(...taken[i]),
  }));
}

async function benchProcess() {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-bench-"));
  try {
    const bytes = writeModel(join(folder, "model"), Number(options.gigabytes) * 1e9);
    const source = join(folder, "model", "model.safetensors");
    const interpreter = findPython();
    const runs = {
      spinfer: [],
      cpu: [],
      hash: [],
      disk: [],
      argpartition: [],
      keys: [],
      threshold: [],
    };
    for (let round = 0; round < rounds; round++) {
      note(`whole process, round ${round + 1}`);
      const output = join(folder, "out");
      const { seconds, cpu } = runSpInfer(join(folder, "model"), output);
      runs.spinfer.push(seconds);
      runs.cpu.push(cpu);
      const written = statSync(join(output, "model.safetensors")).size;
      runs.hash.push(hashSeconds(source, bytes + 2 * written));
      runs.disk.push(diskSeconds(join(folder, "disk"), written));
      rmSync(output, { recursive: true });
      if (interpreter === undefined) continue;
      for (const mode of ["argpartition", "keys", "threshold"]) {
        note(`whole process, round ${round + 1}: NumPy ${mode}`);
        runs[mode].push(runNumpy(interpreter, source, join(folder, "numpy.safetensors"), mode));
      }
    }
    return {
      input_bytes: bytes,
      seconds: Object.fromEntries(
        Object.entries(runs)
          .filter(([, taken]) => taken.length > 0)
          .map(([name, taken]) => [name, { median: median(taken), best: Math.min(...taken) }]),
      ),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A Llama-like model of fp16 weights, one file. */
function writeModel(folder, wanted) {
  const [hidden, inner] = [2048, 5632];
  const layer = 2 * (4 * hidden * hidden + 3 * hidden * inner);
  const layers = Math.max(1, Math.round(wanted / layer));
  const tensors = [];
  for (let i = 0; i < layers; i++) {
    for (const name of ["q", "k", "v", "o"])
      tensors.push([`model.layers.${i}.self_attn.${name}_proj.weight`, [hidden, hidden]]);
    for (const name of ["gate", "up"])
      tensors.push([`model.layers.${i}.mlp.${name}_proj.weight`, [inner, hidden]]);
    tensors.push([`model.layers.${i}.mlp.down_proj.weight`, [hidden, inner]]);
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "bench" }));
  let end = 0;
  const header = { __metadata__: { format: "pt" } };
  for (const [name, shape] of tensors) {
    const begin = end;
    end += shape[0] * shape[1] * 2;
    header[name] = { dtype: "F16", shape, data_offsets: [begin, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const fd = openSync(join(folder, "model.safetensors"), "w");
  writeSync(fd, length);
  writeSync(fd, text);
  const pool = new Uint8Array(normalHalves(inner * hidden).buffer);
  for (const [, shape] of tensors) writeSync(fd, pool, 0, shape[0] * shape[1] * 2);
  fsyncSync(fd);
  closeSync(fd);
  return end;
}

function runSpInfer(model, output) {
  const tell =
    "process.on('exit',()=>{const{user,system}=process.cpuUsage();process.stderr.write('\\ncpu '+(user+system)/1e6+'\\n')})";
  const begun = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      "--import",
      `data:text/javascript,${tell}`,
      join(dist, "src/cli/main.js"),
      "prune",
      model,
      "-o",
      output,
      "--scope",
      "row",
      "--sparsity",
      "0.5",
      "--threads",
      String(threads),
      "--verify",
      "none",
      "--progress",
      "none",
      "--quiet",
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`spinfer prune ended with ${status}: ${stderr}`);
  return {
    seconds: (performance.now() - begun) / 1000,
    cpu: Number(/\ncpu ([\d.]+)/.exec(stderr)?.[1]),
  };
}

function runNumpy(interpreter, source, target, mode) {
  const begun = performance.now();
  const script = fileURLToPath(new URL("numpyPrune.py", import.meta.url));
  const { status, stderr } = spawnSync(interpreter, [script, source, target, mode], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the NumPy script ended with ${status}: ${stderr}`);
  rmSync(target);
  return (performance.now() - begun) / 1000;
}

/** Time of SHA-256 over so many bytes in one thread. */
function hashSeconds(path, bytes) {
  const piece = Buffer.alloc(4 << 20);
  const fd = openSync(path, "r");
  readSync(fd, piece, 0, piece.length, 0);
  closeSync(fd);
  const hash = createHash("sha256");
  const begun = performance.now();
  for (let done = 0; done < bytes; done += piece.length) hash.update(piece);
  hash.digest();
  return (performance.now() - begun) / 1000;
}

/** Time to write and sync a file of so many bytes. */
function diskSeconds(path, bytes) {
  const piece = Buffer.alloc(16 << 20, 7);
  const begun = performance.now();
  const fd = openSync(path, "w");
  for (let done = 0; done < bytes; done += piece.length) writeSync(fd, piece);
  fsyncSync(fd);
  closeSync(fd);
  const seconds = (performance.now() - begun) / 1000;
  rmSync(path);
  return seconds;
}

/** The interpreter of the tests' virtual environment, or one in the PATH that has NumPy. */
function findPython() {
  const own = process.platform === "win32" ? ".venv/Scripts/python.exe" : ".venv/bin/python";
  const candidates = [process.env.SPINFER_TEST_PYTHON, join(ROOT, own), "python3", "python"];
  const found = candidates.find((name) => {
    if (!name || (name.includes("/") && !existsSync(name))) return false;
    return spawnSync(name, ["-c", "import numpy"]).status === 0;
  });
  if (found === undefined) note("no Python with NumPy: nothing to compare with");
  return found;
}

function tables({ date, machine, compute: rates, process: whole }) {
  const lines = [
    `${date}, ${machine}; ${rounds} rounds, median (best)`,
    "",
    "| compute only: prune per row 50 % + encode | threads | GB/s of fp16 input |",
    "| --- | ---: | ---: |",
    ...rates.map(
      ({ kernels, threads: count, median_gb_per_s, best_gb_per_s }) =>
        `| ${kernels === "wasm" ? "WebAssembly SIMD" : "TypeScript"} | ${count} | ${median_gb_per_s.toFixed(2)} (${best_gb_per_s.toFixed(2)}) |`,
    ),
  ];
  if (whole === undefined) return lines.join("\n");
  const { seconds, input_bytes } = whole;
  const row = (what, { median: middle, best }, ratio) =>
    `| ${what} | ${middle.toFixed(2)} (${best.toFixed(2)}) | ${(input_bytes / 1e9 / middle).toFixed(2)} | ${ratio} |`;
  const times = (mode) => `${(seconds[mode].median / seconds.spinfer.median).toFixed(1)} ×`;
  const names = {
    argpartition: "NumPy, argpartition of fp16 magnitudes",
    keys: "NumPy, argpartition of integer keys",
    threshold: "NumPy, threshold by partition (not exact)",
  };
  lines.push(
    "",
    `| whole process, ${(input_bytes / 1e9).toFixed(2)} GB of fp16 | seconds | GB/s | SpInfer is faster by |`,
    "| --- | ---: | ---: | ---: |",
    row(`spinfer prune, ${threads} threads`, seconds.spinfer, ""),
    ...Object.entries(names).flatMap(([mode, name]) =>
      seconds[mode] === undefined ? [] : [row(name, seconds[mode], times(mode))],
    ),
    "",
    `Of SpInfer's run: ${seconds.cpu.median.toFixed(2)} s of processor time, of which SHA-256 (source, tensors, output) takes ${seconds.hash.median.toFixed(2)} s in one thread; writing and syncing as many bytes takes ${seconds.disk.median.toFixed(2)} s by itself. NumPy runs one thread and hashes nothing.`,
  );
  return lines.join("\n");
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function note(text) {
  process.stderr.write(`${text}\n`);
}
