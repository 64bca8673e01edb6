/** What the benchmarks share: processes that are measured, and figures of several rounds. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** Run first in every thread of the process; the main one tells what the process used. */
const TELL =
  "import{isMainThread}from'node:worker_threads';" +
  "if(isMainThread)process.on('exit',()=>{const{maxRSS,userCPUTime,systemCPUTime}=process.resourceUsage();" +
  "process.stderr.write('\\nused '+JSON.stringify([maxRSS*1024,(userCPUTime+systemCPUTime)/1e6])+'\\n')})";

/** Runs our command line: what it says with --json, and what its process took. */
export function runSpInfer(words) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...["--import", `data:text/javascript,${TELL}`, join(ROOT, "dist/src/cli/main.js")],
      ...[...words, "--progress", "none", "--json"],
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`spinfer ${words[0]} ended with ${status}: ${stderr}`);
  const process_seconds = (performance.now() - begun) / 1000;
  const [peak_bytes, processor_seconds] = JSON.parse(/\nused (.*)/.exec(stderr)[1]);
  return { said: JSON.parse(stdout), process_seconds, peak_bytes, processor_seconds };
}

/** Runs a script with a job for its argument: the JSON that it prints, and what its process took. */
export function runPython(interpreter, script, job) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(interpreter, [script, JSON.stringify(job)], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1", PYTHONUTF8: "1" },
  });
  if (status !== 0) throw new Error(`the PyTorch script ended with ${status}: ${stderr}`);
  return { said: JSON.parse(stdout), process_seconds: (performance.now() - begun) / 1000 };
}

/** The interpreter of the tests' virtual environment, or one in the PATH that has transformers. */
export function findPython() {
  const own = process.platform === "win32" ? ".venv/Scripts/python.exe" : ".venv/bin/python";
  const candidates = [process.env.SPINFER_TEST_PYTHON, join(ROOT, own), "python3", "python"];
  const found = candidates.find((name) => {
    if (!name || (name.includes("/") && !existsSync(name))) return false;
    return spawnSync(name, ["-c", "import torch, transformers"]).status === 0;
  });
  if (found === undefined) throw new Error("no Python with torch and transformers to compare with");
  return found;
}

/** Medians of all numbers of several runs, the best time, and the most memory. */
export function summary(runs) {
  const figures = Object.entries(runs[0]).filter(([, value]) => typeof value === "number");
  return {
    ...Object.fromEntries(figures.map(([key]) => [key, median(runs.map((run) => run[key]))])),
    best_seconds: Math.min(...runs.map(({ seconds }) => seconds)),
    peak_bytes: Math.max(...runs.map(({ peak_bytes }) => peak_bytes)),
  };
}

/** Times of ours over theirs: as each is clocked, and of the whole processes. */
export function ratios(ours, theirs) {
  return {
    ratio: ours.seconds / theirs.seconds,
    process_ratio: ours.process_seconds / theirs.process_seconds,
  };
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function note(text) {
  process.stderr.write(`${text}\n`);
}
