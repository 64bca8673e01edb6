/**
 * From the JSON of a whole `spinfer bench kernels` run: the tables of kernels/README.md, between
 * their marks, and the planner's built-in table.
 *
 *   node scripts/kernelTables.mjs bench.json [--check]
 *
 * --check  changes nothing; fails when a file would change
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const README = fileURLToPath(new URL("../kernels/README.md", import.meta.url));
const TABLE = fileURLToPath(new URL("../src/pipeline/tune/measuredOnH100.ts", import.meta.url));

const { values: options, positionals } = parseArgs({
  options: { check: { type: "boolean", default: false } },
  allowPositionals: true,
});
const { result } = JSON.parse(readFileSync(positionals[0], "utf8"));
const cells = result.cells;
const unique = (key) => [...new Set(cells.map((cell) => cell[key]))];
const sparsities = unique("asked_sparsity").sort((a, b) => a - b);
const tokens = unique("n_batch").sort((a, b) => a - b);
const shapes = unique("matrix").map((matrix) => {
  const { m, k } = cells.find((cell) => cell.matrix === matrix);
  return { m, k };
});
const at = ({ m, k }, n, sparsity) =>
  cells.find((c) => c.m === m && c.k === k && c.n_batch === n && c.asked_sparsity === sparsity);

const joined = (values, digits) => values.map((value) => value.toFixed(digits)).join(" / ");
const percents = sparsities.map((s) => Math.round(s * 100)).join(" / ");

function meansTable(list) {
  const mean = (n, sparsity, key) => {
    const logs = list.map((shape) => Math.log(at(shape, n, sparsity)[key]));
    return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
  };
  const column = (n, key) =>
    joined(
      sparsities.map((s) => mean(n, s, key)),
      2,
    );
  return [
    `| geometric mean of ${list.length} shapes | ratio, ${percents} % zeros | ratio with overlap | stream limit |`,
    "| --- | --- | --- | --- |",
    ...tokens.map(
      (n) =>
        `| N = ${n} | ${column(n, "ratio")} | ${column(n, "overlap_ratio")} | ${column(n, "stream_ratio")} |`,
    ),
  ].join("\n");
}

function cellsTable() {
  const rows = shapes.flatMap((shape) =>
    tokens.map((n) => {
      const row = sparsities.map((s) => at(shape, n, s));
      const share = row.map((cell) => Math.round(100 * cell.share_of_limit)).join(" / ");
      return `| ${shape.m} × ${shape.k}, ${n} | ${(row[0].baseline_median_ns / 1e3).toFixed(1)} | ${joined(
        row.map((cell) => cell.median_ns / 1e3),
        1,
      )} | ${joined(
        row.map((cell) => cell.ratio),
        2,
      )} | ${joined(
        row.map((cell) => cell.overlap_ratio),
        2,
      )} | ${joined(
        row.map((cell) => cell.stream_ratio),
        2,
      )} | ${share} |`;
    }),
  );
  return [
    `| shape (outputs × inputs), N | dense µs | sparse µs, ${percents} % zeros | ratio | ratio with overlap | stream limit | % of limit |`,
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function spreadLine() {
  const spreads = cells.map((cell) => cell.spread).sort((a, b) => a - b);
  const quantile = (q) => `${(100 * spreads[Math.floor(q * (spreads.length - 1))]).toFixed(1)} %`;
  return `Spread (slowest − fastest replay over the median): ${quantile(0.5)} in the median cell, ${quantile(0.95)} at the 95th percentile, ${quantile(1)} at worst, of ${cells.length} cells.`;
}

const { gpu } = result;
const header = [
  `${result.started.slice(0, 10)}, one ${gpu.name} (${gpu.sms} SMs, SM clock up to ${gpu.sm_clock_max_mhz} MHz, ${gpu.power_limit_w} W), driver ${gpu.driver}, CUDA ${gpu.cuda}.`,
  "",
  spreadLine(),
].join("\n");

function builtInTable() {
  const rounded = (value) => Number(value.toFixed(3));
  const lines = shapes.map((shape) => {
    const columns = tokens.map((n) =>
      sparsities.map((s) => {
        const cell = at(shape, n, s);
        return [rounded(cell.ratio), rounded(cell.overlap_ratio)];
      }),
    );
    return `    { rows: ${shape.m}, cols: ${shape.k}, ratios: ${JSON.stringify(columns)} },`;
  });
  return `/** Made by scripts/kernelTables.mjs from the run of ${result.started.slice(0, 10)} in kernels/README.md. */

export interface MeasuredShape {
  readonly rows: number;
  readonly cols: number;
  /** By number of tokens, then by sparsity: dense over sparse time, alone and with overlap. */
  readonly ratios: readonly (readonly (readonly [ratio: number, overlapRatio: number])[])[];
}

// biome-ignore format: one line a shape
export const MEASURED_ON_H100: {
  readonly tokens: readonly number[];
  readonly sparsities: readonly number[];
  readonly shapes: readonly MeasuredShape[];
} = {
  tokens: ${JSON.stringify(tokens)},
  sparsities: ${JSON.stringify(sparsities.map((s) => Math.round(s * 100)))},
  shapes: [
${lines.join("\n")}
  ],
};
`;
}

function between(text, name, content) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < 0) throw new Error(`kernels/README.md has no mark ${begin}`);
  return `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
}

let readme = readFileSync(README, "utf8");
readme = between(readme, "measured: machine", header);
readme = between(readme, "measured: means", meansTable(shapes));
readme = between(readme, "measured: cells", cellsTable());
let changed = false;
for (const [path, text] of [
  [README, readme],
  [TABLE, builtInTable()],
]) {
  if (readFileSync(path, "utf8") === text) continue;
  changed = true;
  if (options.check) console.error(`${path} is not what ${positionals[0]} gives`);
  else writeFileSync(path, text);
}
process.exitCode = options.check && changed ? 1 : 0;
