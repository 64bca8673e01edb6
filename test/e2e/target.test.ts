/** prune --target with a perplexity, as its users run it: on the embedded model, with few windows. */
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { SearchRecord } from "../../src/pipeline/search/record.ts";
import { cli, cliError, cliJson, exitOf, startCli } from "../helpers/cli.ts";
import { fileFolder, folderHashes, leftovers } from "../helpers/models.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = fileFolder();
const options = { cwd: folder };
const FEW = ["--ctx", "64", "--max-windows", "2", "--dataset", "text.txt"];
const QUIET = ["--progress", "none"];
const CALIB = ["--calib", "calibration.txt", "--nsamples", "2", "--seqlen", "64"];
const PRUNE = ["prune", "demo", "--target", "ppl<=+40%", ...FEW, ...CALIB, ...QUIET];

const hashes = (name: string) => folderHashes(join(folder, name));
const withoutManifest = (name: string) => {
  const { "spinfer_manifest.json": _, ...rest } = hashes(name);
  return rest;
};

let search: SearchRecord;

beforeAll(() => {
  cpSync(join(ROOT, "models/demo"), join(folder, "demo"), { recursive: true });
  const text = readFileSync(join(ROOT, "models/demo/heldout.txt"), "utf8");
  writeFileSync(join(folder, "text.txt"), text.slice(0, 2500));
  writeFileSync(join(folder, "calibration.txt"), text.slice(-2500));
  writeFileSync(join(folder, "text.jsonl"), `${JSON.stringify({ body: text.slice(0, 2500) })}\n`);
  const result = cliJson([...PRUNE, "-o", "whole"], options);
  search = result["search"] as SearchRecord;
  expect(result).toMatchObject({ verified: { ok: true }, sparsity: expect.any(Number) });
});

describe("prune --target ppl", () => {
  it("writes what eval then measures, and says so", () => {
    const evaluated = cliJson(["eval", "whole", ...FEW, ...QUIET], options);
    expect(evaluated["perplexity"]).toBe(search.perplexity);
    expect(search.perplexity).toBeLessThanOrEqual(search.limit);
    expect(cli(["verify", "whole", "--level", "full"], options).status).toBe(0);
    const { stdout } = cli([...PRUNE, "-o", "said"], options);
    expect(stdout).toContain(`target ✓ ppl<=+40% · sparsity ${search.sparsity}: ppl `);
    expect(stdout).toMatch(/tried 0\.5 → [\d.]+, .* · protocol wanda, 2 windows/);
    expect(hashes("said")).toEqual(hashes("whole"));
  });

  it("is the same from a recipe, whose own record gives the same weights again", () => {
    const recipe = `version: 1
prune: { method: wanda, target: ppl<=+40% }
calibration: { data: calibration.txt, nsamples: 2, seqlen: 64 }
evaluation: { data: text.txt, ctx: 64, max_windows: 2 }
`;
    writeFileSync(join(folder, "recipe.yaml"), recipe);
    const ran = cliJson(["run", "recipe.yaml", "demo", "-o", "ran", ...QUIET], options);
    expect(ran["search"]).toEqual(search);
    expect(hashes("ran")).toEqual(hashes("whole"));
    const again = ["run", "ran/recipe.yaml", "demo", "--calib", "calibration.txt", "-o", "again"];
    expect(cliJson([...again, ...QUIET], options)["search"]).toBeNull();
    expect(withoutManifest("again")).toEqual(withoutManifest("whole"));
  });

  it("is told by the model card, with what it was measured on", () => {
    const report = join(folder, "eval.json");
    cliJson(["eval", "whole", ...FEW, "--report", report, ...QUIET], options);
    cliJson(["report", report, "--card", "whole", "-o", "card.md"], options);
    const card = readFileSync(join(folder, "card.md"), "utf8");
    expect(card).toMatch(/- sparsity found for: ppl\\?<=\+40%: [\d.]+ of at most [\d.]+/);
    expect(card).toContain(search.dataset_sha256);
  });

  it("takes --field for the text that has lines", () => {
    const line = [...PRUNE, "--field", "body", "-o", "lines"].map((word) =>
      word === "text.txt" ? "text.jsonl" : word,
    );
    const { dataset_sha256, perplexity } = cliJson(line, options)["search"] as SearchRecord;
    expect([dataset_sha256, perplexity]).toEqual([search.dataset_sha256, search.perplexity]);
  });

  it.each(["SIGKILL", "SIGINT"] as const)(
    "%s between tries: --resume goes on to the same bytes",
    async (signal) => {
      const output = join(folder, signal);
      const state = join(`${output}.spinfer-search`, "search.json");
      const child = startCli([...PRUNE, "-o", signal], options);
      let over = false;
      const ended = exitOf(child).finally(() => {
        over = true;
      });
      const tries = (): number => {
        try {
          return JSON.parse(readFileSync(state, "utf8")).tries.length;
        } catch {
          return -1;
        }
      };
      while (!over && tries() < 2) await sleep(1);
      const known = tries();
      child.kill(signal);
      const { status } = await ended;
      expect(known).toBeGreaterThanOrEqual(2);
      if (signal === "SIGINT") expect(status).toBe(130);
      expect(existsSync(output)).toBe(false);
      const before = tries();
      expect(before).toBeGreaterThanOrEqual(known);
      expect(cliError([...PRUNE, "-o", signal], options)).toMatchObject({
        status: 10,
        code: "E_PARTIAL_EXISTS",
        hint: expect.stringContaining("--resume"),
      });
      const again = cliJson([...PRUNE, "-o", signal, "--resume"], options);
      expect(again["search"]).toEqual(search);
      expect(hashes(signal)).toEqual(hashes("whole"));
      expect(leftovers(output)).toEqual([]);
    },
  );

  it.each([
    [["plan", "demo", "--target", "ppl<=+5%"], "E_OPTION", "only measuring tells"],
    [["prune", "demo", "-o", "x", "--target", "ppl<=+5%", "--dry-run"], "E_OPTION", "ppl<=+5%"],
    [["prune", "demo", "-o", "x", "--target", "ppl>=3"], "E_OPTION", "ppl<=+5%"],
    [["prune", "demo", "-o", "x", "--target", "kl<=0.1"], "E_OPTION", "a perplexity limit such as"],
    [
      ["prune", "demo", "-o", "x", "--target", "ppl<=+5%", "--pattern", "2:4"],
      "E_OPTION",
      "pattern 2:4",
    ],
    [["prune", "demo", "-o", "x", "--dataset", "text.txt"], "E_OPTION", "--dataset: data is for a"],
    [
      ["prune", "demo", "-o", "x", "--target", "2GB", "--ctx", "64"],
      "E_OPTION",
      "--ctx: ctx is for",
    ],
    [
      ["prune", "demo", "-o", "x", "--target", "ppl<=1.01", ...FEW],
      "E_TARGET_UNMET",
      "the dense model misses it already",
    ],
  ] as const)("%j is refused", (words, code, message) => {
    expect(cliError([...words, ...QUIET], options)).toMatchObject({
      status: code === "E_TARGET_UNMET" ? 4 : 2,
      code,
      message: expect.stringContaining(message),
    });
    expect(existsSync(join(folder, "x"))).toBe(false);
  });

  it("a model without a text of its own needs --dataset", () => {
    writeFileSync(
      join(folder, "demo/tokenizer.json"),
      `${readFileSync(join(folder, "demo/tokenizer.json"), "utf8").trimEnd()}\n\n`,
    );
    const words = ["prune", "demo", "-o", "x", "--target", "ppl<=+5%", ...QUIET];
    expect(cliError(words, options)).toMatchObject({
      status: 2,
      code: "E_USAGE",
      message: expect.stringContaining("needs a text"),
    });
  });

  it("calibrate takes such a recipe too: one pass serves any sparsity", () => {
    writeFileSync(
      join(folder, "limit.yaml"),
      "version: 1\nprune: { method: wanda, target: ppl<=+40% }\n",
    );
    const words = ["calibrate", "demo", "--recipe", "limit.yaml", ...CALIB, "-o", "stats"];
    expect(cliJson([...words, ...QUIET], options)).toMatchObject({ mode: "one-pass" });
    const sequential = [...words, "--mode", "sequential", "-o", "other"].filter(
      (word, i, all) => !(word === "stats" || (word === "-o" && all[i + 1] === "stats")),
    );
    expect(cliError([...sequential, ...QUIET], options).code).toBe("E_OPTION");
  });
});
