import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { barLine, barReporter } from "../../src/cli/progress/bar.ts";
import { createReporter } from "../../src/cli/progress/createReporter.ts";
import { jsonReporter } from "../../src/cli/progress/json.ts";
import { plainReporter } from "../../src/cli/progress/plain.ts";
import type { Reporter } from "../../src/cli/progress/reporter.ts";
import { progressSchema, warningLineSchema } from "../../src/cli/schemas/index.ts";
import type { PipelineEvent } from "../../src/pipeline/events.ts";
import { fakeHost } from "./runInProcess.ts";

/** A clock that the test turns. */
function clock(): { now: () => number; pass: (ms: number) => void } {
  let time = 0;
  return {
    now: () => time,
    pass: (ms) => {
      time += ms;
    },
  };
}

type Item = Extract<PipelineEvent, { type: "item" }>;

const item = (done: number, more: Partial<Item> = {}): Item => ({
  type: "item",
  phase: "prune",
  name: `layers.${done}`,
  done,
  items: 100,
  bytesDone: done * 1_000_000,
  bytes: 100_000_000,
  resumed: false,
  ...more,
});

function drive(reporter: Reporter, pass: (ms: number) => void, msPerItem: number): void {
  reporter.report({ type: "begin", phase: "prune", items: 100, bytes: 100_000_000 });
  for (let done = 1; done <= 100; done++) {
    pass(msPerItem);
    reporter.report(item(done));
  }
  reporter.report({ type: "end", phase: "prune" });
}

describe("plain progress", () => {
  it("writes at most a line for each tenth", () => {
    const { host, written } = fakeHost();
    const { now, pass } = clock();
    drive(plainReporter(host.stderr, { now, colour: false }), pass, 1000);
    const lines = written.stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(10);
    expect(lines[0]).toBe("prune 10 % · 10 of 100 · 10.0 MB of 100 MB · 1m30s left");
    expect(lines.at(-1)).toBe("prune 100 % · 100 of 100 · 100 MB of 100 MB");
  });

  it("writes at most a line a second", () => {
    const { host, written } = fakeHost();
    const { now, pass } = clock();
    drive(plainReporter(host.stderr, { now, colour: false }), pass, 30);
    expect(written.stderr.trimEnd().split("\n")).toHaveLength(2);
  });

  it("says nothing of what takes less than a second", () => {
    const { host, written } = fakeHost();
    const { now, pass } = clock();
    drive(plainReporter(host.stderr, { now, colour: false }), pass, 9);
    expect(written.stderr).toBe("");
  });

  it("does not count what a resumed run found done as speed", () => {
    const { host, written } = fakeHost();
    const { now, pass } = clock();
    const reporter = plainReporter(host.stderr, { now, colour: false });
    reporter.report({ type: "begin", phase: "prune", items: 100, bytes: 100_000_000 });
    for (let done = 1; done <= 50; done++) reporter.report(item(done, { resumed: true }));
    pass(2000);
    reporter.report(item(51));
    expect(written.stderr).toBe("prune 51 % · 51 of 100 · 51.0 MB of 100 MB · 1m38s left\n");
  });
});

describe("progress as JSON lines", () => {
  it("has a schema, at most ten lines a second, and the last item of a phase", () => {
    const { host, written } = fakeHost();
    const { now, pass } = clock();
    const reporter = jsonReporter(host.stderr, now);
    drive(reporter, pass, 10);
    const records = written.stderr
      .trimEnd()
      .split("\n")
      .map((line) => progressSchema.parse(JSON.parse(line)));
    expect(records.length).toBeLessThanOrEqual(11);
    expect(records.length).toBeGreaterThan(8);
    expect(records[4]).toEqual({
      schema: "spinfer.progress/1",
      phase: "prune",
      item: "layers.41",
      done: 41,
      total: 100,
      bytes: 41_000_000,
      bytes_total: 100_000_000,
      eta_s: 0.6,
    });
    expect(records.at(-1)?.done).toBe(100);
    expect(records.at(-1)?.eta_s).toBe(0);
  });

  it("has warnings as lines too", () => {
    const { host, written } = fakeHost();
    jsonReporter(host.stderr, () => 0).warn({ code: "W_PLAN", message: "careful" });
    expect(warningLineSchema.parse(JSON.parse(written.stderr)).message).toBe("careful");
  });
});

describe("progress bars", () => {
  it("are cut to the width of the terminal", () => {
    const line = barLine(item(44, { name: "x".repeat(300) }), 112_000, 80);
    expect([...line]).toHaveLength(79);
    expect(line).toMatch(/^ {2}prune {8}█{11}░{13} {2}44% · 44\/100 · 1m52s left · x+$/);
  });

  it("PA-08 show a hostile name as text", () => {
    const line = barLine(item(1, { name: "a\u001b[2Jb" }), undefined, 200);
    expect(line).toContain("a\\u{1b}[2Jb");
    expect(line).not.toContain("\u001b");
  });

  it("draw on a terminal and leave nothing behind", () => {
    const { host, written } = fakeHost({ tty: true });
    let drawn = "";
    const stream = Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          drawn += String(chunk);
          done();
        },
      }),
      { isTTY: true, columns: 100, rows: 30 },
    );
    const { now, pass } = clock();
    const reporter = barReporter(host.stderr, { now, colour: false }, stream);
    reporter.report({ type: "begin", phase: "hash", items: 1, bytes: 5 });
    drive(reporter, pass, 10);
    reporter.warn({ code: "W_PLAN", message: "between the bars" });
    reporter.close();
    expect(drawn).toContain("hash source");
    expect(drawn).toContain("warning: between the bars\n");
    expect(drawn).not.toContain("\u001b[?25l"); // the cursor is not hidden, so nothing can leave it so
    expect(written.stderr).toBe("");
    reporter.warn({ code: "W_PLAN", message: "after the bars" });
    expect(drawn + written.stderr).toContain("warning: after the bars");
  });
});

describe("the choice of progress", () => {
  it.each([
    ["auto", { tty: false }, false, "plain"],
    ["auto", { tty: true, env: { CI: "true" } }, false, "plain"],
    ["auto", { tty: true, env: { TERM: "dumb" } }, false, "plain"],
    ["auto", { tty: false }, true, "none"],
    ["plain", { tty: true }, false, "plain"],
    ["bar", { tty: false }, false, "plain"],
    ["json", { tty: true }, true, "json"],
    ["none", { tty: true }, false, "none"],
  ] as const)("%s with %o, quiet %s: %s", async (mode, options, quiet, expected) => {
    const { host, written } = fakeHost(options);
    const { now, pass } = clock();
    const reporter = await createReporter(host, { mode, quiet, colour: false, now });
    drive(reporter, pass, 1000);
    reporter.close();
    const shown = { plain: /^prune 10 %/, json: /^\{"schema"/, none: /^$/ }[expected];
    expect(written.stderr).toMatch(shown);
  });
});
