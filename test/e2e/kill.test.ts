/**
 * Runs that are killed at random moments, and resumed: the output is byte for byte that of a run
 * that was left alone, and nothing is left beside it. SPINFER_KILLS sets how many kills.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { cli, cliJson, exitOf, startCli } from "../helpers/cli.ts";
import { fileFolder, folderHashes, leftovers, llama, writeModel } from "../helpers/models.ts";
import { createRandom, type Random } from "../helpers/random.ts";

const KILLS = Number(process.env["SPINFER_KILLS"] ?? 20);
const SEED = Number(process.env["SPINFER_SEED"] ?? 1);
const THREADS = 2;
const OPTIONS = ["--threads", String(THREADS), "--verify", "none", "--progress", "none"];

interface Job {
  readonly name: string;
  readonly args: readonly string[];
  readonly output: string;
  /** Of an output that nothing disturbed. */
  readonly expected: Readonly<Record<string, string>>;
  readonly tensors: number;
}

const folder = fileFolder();
const jobs: Job[] = [];

beforeAll(() => {
  // 78 MB in many tensors, some wholly dense: a run is most of a second of work
  const shape = { hidden: 512, inner: 1408, layers: 12, vocab: 512, heads: 8 };
  writeModel(join(folder, "model"), { ...llama(shape), shardBytes: 30_000_000 });
  const shards = ["--max-shard-size", "20MB"];
  jobs.push(
    job("prune", ["prune", "model"], shards),
    job("convert to dense", ["convert", "undisturbed prune", "--to", "dense"], shards),
  );
});

/** Runs a job to its end once, as the measure of all others. */
function job(name: string, command: readonly string[], rest: readonly string[]): Job {
  const words = [...command, ...rest, ...OPTIONS];
  const model = join(folder, command[1]!);
  const args = words.map((word, i) => (i === 1 ? model : word));
  const undisturbed = join(folder, `undisturbed ${name}`);
  const { tensors } = cliJson([...args, "-o", undisturbed]);
  const expected = folderHashes(undisturbed);
  return { name, args, output: join(folder, `out ${name}`), expected, tensors: Number(tensors) };
}

/** Finished tensors by the journal of a run under way; undefined when there is none. */
function recorded(output: string): string[] | undefined {
  const journal = `${output}.spinfer-journal`;
  if (!existsSync(journal)) return undefined;
  const lines = readFileSync(journal, "utf8").split("\n").slice(1, -1);
  const records = lines.map(
    (line) => JSON.parse(line.slice(9)) as { tensor: string; kind: string },
  );
  const done = records.filter(({ kind }) => kind !== "deferred").map(({ tensor }) => tensor);
  return [...new Set(done)];
}

type Moment = "before the first write" | "while writing" | "after the last rename";

/** Starts a run and kills it at a random moment; mostly among the tensors, sometimes at the end. */
async function killOnce(job: Job, resume: boolean, random: Random): Promise<Moment> {
  const child = startCli([...job.args, "-o", job.output, ...(resume ? ["--resume"] : [])]);
  let over = false;
  const ended = exitOf(child).finally(() => {
    over = true;
  });
  const atEnd = random.chance(0.25);
  const target = atEnd ? job.tensors : random.int(job.tensors);
  while (!over && !existsSync(job.output) && (recordedLines(job.output) ?? -1) < target) {
    await sleep(1);
  }
  await sleep(random.int(atEnd ? 120 : 15));
  child.kill("SIGKILL");
  await ended;
  if (existsSync(job.output)) return "after the last rename";
  return existsSync(`${job.output}.spinfer-partial`) ? "while writing" : "before the first write";
}

/** Tensors in the journal of a run under way, counted cheaply; a deferred one counts twice. */
function recordedLines(output: string): number | undefined {
  try {
    return readFileSync(`${output}.spinfer-journal`).filter((byte) => byte === 10).length - 1;
  } catch {
    return undefined;
  }
}

describe("SIGKILL", () => {
  test(`WR-01 SH-10 ${KILLS} kills at random moments, in runs and in resumed runs: every output is byte-identical in the end`, async () => {
    const random = createRandom(SEED);
    const moments: Record<Moment, number> = {
      "before the first write": 0,
      "while writing": 0,
      "after the last rename": 0,
    };
    let killed = 0;
    const enough = Math.ceil(KILLS * 0.8);
    const more = (): boolean => moments["while writing"] < enough && killed < 2 * KILLS;
    for (let round = 0; killed < KILLS || more(); round++) {
      const job = jobs[round % jobs.length]!;
      rmSync(job.output, { recursive: true, force: true });
      let moment = await killOnce(job, false, random);
      moments[moment]++;
      killed++;
      while (moment === "while writing" && killed < KILLS && random.chance(0.4)) {
        moment = await killOnce(job, true, random);
        moments[moment]++;
        killed++;
      }
      const before = recorded(job.output) ?? [];
      finish(job, moment, before);
      expect(folderHashes(job.output), `round ${round}, seed ${SEED}`).toEqual(job.expected);
      expect(leftovers(job.output), `round ${round}, seed ${SEED}`).toEqual([]);
    }
    console.log(`${killed} kills:`, moments);
    expect(moments["while writing"]).toBeGreaterThanOrEqual(enough);
  });
});

/** Resumes a killed run; what the journal has is not done again. */
function finish(job: Job, moment: Moment, finished: readonly string[]): void {
  const args = [...job.args, "-o", job.output];
  if (moment === "while writing") {
    const { resumed_tensors } = cliJson([...args, "--resume"]);
    expect(resumed_tensors).toBe(finished.length);
    return;
  }
  // nothing is left to resume: either all is done, or nothing had begun
  const { status, stderr } = cli([...args, "--resume", "--json"]);
  expect(status).toBe(10);
  expect(stderr).toContain("E_NOTHING_TO_RESUME");
  if (moment === "before the first write") cliJson(args);
}
