/**
 * `npm run bench:products`: what the native engine's products and attention reach beside PyTorch's, on
 * shapes of SmolLM2-135M. GFLOP/s, the best of --rounds calls; of attention the half that causality
 * leaves is counted. Weights are float16 for the native engine, which makes fewer parts of them.
 *
 * --threads N (all)  --rounds N (100)
 */
import { spawnSync } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildIfStale } from "../../build.mjs";
import { findPython } from "../eval/processes.mjs";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: String(availableParallelism()) },
    rounds: { type: "string", default: "100" },
  },
});
const threads = Number(options.threads);
const rounds = Number(options.rounds);
/** [rows, inputs, outputs] */
const PRODUCTS = [
  [1024, 576, 1536],
  [1024, 1536, 576],
  [1024, 576, 576],
];
const ATTENTION = { heads: 9, keyHeads: 3, headSize: 64, length: 1024 };

const python = findPython();
buildIfStale();
const { openCpu } = await import("../../../dist/src/engine/native/library.js");
const { INSTRUCTION_SETS } = await import("../../../dist/src/engine/engine.js");

const columns = {};
for (const set of INSTRUCTION_SETS) {
  const env = { ...process.env, SPINFER_CPU_INSTRUCTIONS: set };
  const context = await openCpu(threads, env).catch(() => undefined);
  if (context === undefined) continue;
  columns[`native, ${set}`] = await context.exclusive(measure);
  await context.close();
}
columns.PyTorch = inPyTorch();
console.log(table());

async function measure(cpu) {
  const made = [];
  for (const [rows, inputs, outputs] of PRODUCTS) {
    const shape = [outputs, inputs];
    const halves = new Uint16Array(outputs * inputs).map((_, i) => 0x2c00 + ((i * 7919) % 1024));
    const weight = await cpu.packWeight({ shape, dtype: "F16", halves }, { inputs, outputs });
    const [x, out] = [floats(rows * inputs), new Float32Array(rows * outputs)];
    const seconds = await best(async () => {
      await cpu.call("spinfer_cpu_set_input", 0, x, rows, inputs);
      const begin = performance.now();
      await cpu.call("spinfer_cpu_linear", 0, weight, null, null, out);
      return performance.now() - begin;
    });
    made.push((2 * rows * inputs * outputs) / seconds / 1e9);
    cpu.dropWeight(weight);
  }
  const { heads, keyHeads, headSize, length } = ATTENTION;
  const [query, key, value] = [heads, keyHeads, keyHeads].map((n) => floats(length * n * headSize));
  const spec = cpu.attentionSpec({ ...ATTENTION, scale: headSize ** -0.5 }, length, length);
  const out = new Float32Array(query.length);
  const seconds = await best(async () => {
    const begin = performance.now();
    await cpu.call("spinfer_cpu_attention", 0, query, key, value, spec, out);
    return performance.now() - begin;
  });
  made.push((2 * heads * headSize * length * (length + 1)) / seconds / 1e9);
  return made;
}

async function best(run) {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) least = Math.min(least, await run());
  return least / 1000;
}

function floats(count) {
  return Float32Array.from({ length: count }, (_, i) => ((i * 7919) % 2001) / 1000 - 1);
}

function inPyTorch() {
  const script = fileURLToPath(new URL("torchProducts.py", import.meta.url));
  const job = JSON.stringify({ threads, rounds, products: PRODUCTS, attention: ATTENTION });
  const { status, stdout, stderr } = spawnSync(python, [script, job], { encoding: "utf8" });
  if (status !== 0) throw new Error(`torchProducts.py ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout);
}

function table() {
  const names = Object.keys(columns);
  const { heads, keyHeads, headSize, length } = ATTENTION;
  const rows = [
    ...PRODUCTS.map((shape) => shape.join(" × ")),
    `attention: ${heads} and ${keyHeads} heads of ${headSize}, ${length} tokens`,
  ];
  const date = new Date().toISOString().slice(0, 10);
  return [
    `${date}, ${cpus()[0]?.model.trim()}, ${threads} threads, best of ${rounds}; GFLOP/s`,
    "",
    `| rows × inner × columns | ${names.join(" | ")} |`,
    `| --- | ${names.map(() => "---:").join(" | ")} |`,
    ...rows.map(
      (row, i) => `| ${row} | ${names.map((name) => Math.round(columns[name][i])).join(" | ")} |`,
    ),
  ].join("\n");
}
