/**
 * `npm start`: from a bare clone to a result. Installs, builds, and takes the embedded model
 * through the whole pipeline: inspect, plan, prune, verify, back to dense, verify, what pruning
 * cost, and what other methods would have.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { installPackages, ROOT } from "./install.mjs";

const MODEL = join("models", "demo");
const WORK = ".spinfer-demo";
const SPARSE = join(WORK, "sparse");
const DENSE = join(WORK, "dense");
const SWEEP = join(WORK, "sweep");
const PAGE = join(WORK, "report.html");
const CALIBRATION = join("docs", "examples", "calibration.txt");

installPackages();
const { buildIfStale } = await import("./build.mjs"); // after the compiler is installed
buildIfStale();
rmSync(join(ROOT, WORK), { recursive: true, force: true });
mkdirSync(join(ROOT, WORK));

section("What is in the model?");
spinfer("inspect", MODEL);
section("What would pruning half of its weights do?");
spinfer("plan", MODEL, "--sparsity", "0.5");
section("Prune it, and store it sparse");
spinfer("prune", MODEL, "-o", SPARSE, "--sparsity", "0.5");
section("Is every bit what the source and the recipe give?");
spinfer("verify", SPARSE, "--level", "full");
section("Back to a dense checkpoint that every runtime loads, and verified too");
spinfer("convert", SPARSE, "-o", DENSE, "--to", "dense");
spinfer("verify", DENSE, "--level", "full");

section("What did it cost? Perplexity before and after on text the model never saw, and a gate");
spinfer("eval", SPARSE, "--base", MODEL, "--max-windows", "16", "--gate", "ppl<=+10%");
section("Would other methods cost less? Each at three sparsities, on fewer windows");
const methods = ["--method", "magnitude,wanda,ria", "--sparsity", "0.5,0.6,0.7"];
const calibration = ["--calib", CALIBRATION, "--nsamples", "16"];
spinfer("sweep", MODEL, ...methods, ...calibration, "--max-windows", "8", "-o", SWEEP);
spinfer("report", join(SWEEP, "sweep.json"), "-o", PAGE);

section("What came out");
const sizes = [MODEL, SPARSE, DENSE].map((folder) => [folder, weightBytes(folder)]);
const [, before] = sizes[0];
for (const [folder, bytes] of sizes) {
  const share = `${((bytes / before) * 100).toFixed(1)} %`;
  console.log(
    `  ${folder.padEnd(22)} ${String(bytes).padStart(9)} bytes of weights  ${share.padStart(7)}`,
  );
}
console.log(`
  the report page        ${join(ROOT, PAGE)}

Next:
  your own model       node ${relative(ROOT, cli())} prune PATH_OR_GGUF -o OUT --sparsity 0.5
  other methods        node ${relative(ROOT, cli())} prune --help
  a recipe             node ${relative(ROOT, cli())} recipe init recipe.yaml
  what the format is   formats/tile-bitmap/SPEC.md
  all tests            npm test`);

function cli() {
  return join(ROOT, "dist/src/cli/main.js");
}

function section(title) {
  console.log(`\n── ${title}`);
}

function spinfer(...args) {
  console.log(`$ spinfer ${args.join(" ")}`);
  const { status } = spawnSync(process.execPath, [cli(), ...args], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

function weightBytes(folder) {
  const path = join(ROOT, folder);
  return readdirSync(path)
    .filter((name) => name.endsWith(".safetensors"))
    .reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}
