// A short table of a `spinfer bench kernels --json` run: for logs.
import { readFileSync } from "node:fs";

const { result } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const fixed = (value, digits = 2) => (value === null ? "-" : value.toFixed(digits));
console.log(`${result.gpu.name}, driver ${result.gpu.driver}, ${result.started}`);
for (const c of result.cells) {
  const energy =
    c.millijoules === null ? "" : ` mJ ${fixed(c.millijoules)}/${fixed(c.baseline_millijoules)}`;
  console.log(
    `${c.matrix} n${c.n_batch} ${c.dtype} ${c.mask} ${fixed(100 * c.sparsity, 1)}%: dense ${fixed(c.baseline_median_ns / 1e3)} (${c.baseline}) sparse ${fixed(c.median_ns / 1e3)} us, ${fixed(c.ratio)}, overlap ${fixed(c.overlap_ratio)}, limit ${fixed(c.stream_ratio)}, 2:4 ${fixed(c.two_four_ratio)}${energy}`,
  );
}
for (const mean of result.means) {
  console.log(
    `mean n${mean.n_batch} ${fixed(100 * mean.sparsity, 0)}%: ${fixed(mean.ratio, 3)}, overlap ${fixed(mean.overlap_ratio, 3)}, limit ${fixed(mean.stream_ratio, 3)} (${mean.cells} cells)`,
  );
}
