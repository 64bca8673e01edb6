/** Tokenising in a thread, as the built package does it: the same ids, and an end to what has none. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type * as Tokenise from "../../src/eval/tokenise.ts";
import { openTokenizer } from "../../src/eval/tokenizer.ts";
import { cliError, DIST, exitOf, startCli } from "../helpers/cli.ts";
import { temporaryFolder } from "../helpers/models.ts";

const DEMO = new URL("../../models/demo/", import.meta.url);
const demo = readFileSync(new URL("tokenizer.json", DEMO));
const heldout = readFileSync(new URL("heldout.txt", DEMO), "utf8");
const { openAndTokenise, tokenise }: typeof Tokenise = await import(
  pathToFileURL(join(DIST, "src/eval/tokenise.js")).href
);

/** Every way to cut a run of a's is tried before the last letter is found to be another. */
const HOSTILE_TEXT = `${"a".repeat(60)}!`;
function hostile(): Uint8Array {
  const file = JSON.parse(demo.toString("utf8"));
  const split = { type: "Split", pattern: { Regex: "(a|a)+$" }, behavior: "Isolated" };
  file.pre_tokenizer = { type: "Sequence", pretokenizers: [split, file.pre_tokenizer] };
  return Buffer.from(JSON.stringify(file));
}

/** The embedded model with that tokenizer, and a text to hang on. */
function hostileModel(): { readonly folder: string; readonly words: readonly string[] } {
  const folder = temporaryFolder();
  cpSync(DEMO, join(folder, "model"), { recursive: true });
  writeFileSync(join(folder, "model/tokenizer.json"), hostile());
  writeFileSync(join(folder, "text.txt"), HOSTILE_TEXT);
  return { folder, words: ["eval", "model", "--dataset", "text.txt", "--progress", "none"] };
}

const open = (tokenizer: Uint8Array) => openTokenizer({ path: "m/tokenizer.json", tokenizer });

describe("a thread that tokenises", () => {
  it("gives the ids that the tokenizer gives", async () => {
    const tokenizer = open(demo);
    const ids = await tokenise(tokenizer, heldout, { seconds: 60 });
    expect(ids).toEqual(tokenizer.encode(heldout));
    expect(await tokenise(tokenizer, "", { seconds: 60 })).toHaveLength(0);
  });

  it("works while the tokenizer is opened here too, or is found to be none", async () => {
    const source = { path: "m/tokenizer.json", tokenizer: demo };
    const { tokenizer, ids } = await openAndTokenise(source, heldout, { seconds: 60, most: 500 });
    expect(ids).toEqual(open(demo).encode(heldout, 500));
    expect(tokenizer.sha256).toBe(open(demo).sha256);
    const damaged = { ...source, tokenizer: demo.subarray(0, 1000) };
    await expect(openAndTokenise(damaged, heldout, { seconds: 60 })).rejects.toMatchObject({
      code: "E_TOKENIZER",
    });
    const signal = AbortSignal.abort(new Error("enough of it"));
    await expect(openAndTokenise(source, "a", { seconds: 60, signal })).rejects.toThrow("enough");
  });

  it("says what is wrong with a tokenizer", async () => {
    const file = JSON.parse(demo.toString("utf8"));
    file.pre_tokenizer = { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" };
    const broken = open(Buffer.from(JSON.stringify(file)));
    await expect(tokenise(broken, "a", { seconds: 60 })).rejects.toMatchObject({
      code: "E_TOKENIZER",
      message: expect.stringContaining("it cannot be used"),
    });
  });

  it("is ended by a signal, with its reason, while an expression backtracks", async () => {
    const stop = new AbortController();
    const run = tokenise(open(hostile()), HOSTILE_TEXT, { seconds: 3600, signal: stop.signal });
    const ended = expect(run).rejects.toThrow("enough of it");
    await sleep(500); // the expression is at work; were it not, the signal ends it all the same
    stop.abort(new Error("enough of it"));
    await ended;
    await expect(tokenise(open(demo), "a", { seconds: 60, signal: stop.signal })).rejects.toThrow(
      "enough of it",
    );
  });

  it("is ended by its time, which grows with the text", async () => {
    const run = tokenise(open(hostile()), HOSTILE_TEXT, { seconds: 1 });
    await expect(run).rejects.toMatchObject({
      code: "E_LIMIT",
      detail: {
        found: "not done after 1.0 s, with 61 characters",
        hint: expect.stringContaining("--limit tokenizerSeconds=N"),
      },
    });
    const long = HOSTILE_TEXT.padEnd(1_500_000, "b");
    await expect(tokenise(open(hostile()), long, { seconds: 1 })).rejects.toMatchObject({
      detail: { found: "not done after 1.5 s, with 1,500,000 characters" },
    });
  });
});

describe("a command with a hostile tokenizer", () => {
  it("ends with an error", () => {
    const { folder, words } = hostileModel();
    const error = cliError([...words, "--limit", "tokenizerSeconds=1"], { cwd: folder });
    expect(error).toMatchObject({ status: 12, code: "E_LIMIT" });
    expect(error.message).toContain("it takes too long to tokenise the text");
    const calibrate = ["calibrate", "model", "--calib", "text.txt", "-o", "stats"];
    const limit = ["--limit", "tokenizerSeconds=1", "--progress", "none"];
    expect(cliError([...calibrate, ...limit], { cwd: folder }).code).toBe("E_LIMIT");
  });

  it("is stopped by SIGINT", async () => {
    const { folder, words } = hostileModel();
    const child = startCli(words, { cwd: folder });
    const ended = exitOf(child);
    await sleep(2500);
    child.kill("SIGINT");
    expect(await ended).toEqual({ status: 130, signal: null });
  });
});
