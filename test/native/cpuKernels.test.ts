/** The CPU library's own test (kernels/test/cpuTest.cpp), as released and under sanitizers. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const isPlatform = process.platform === "linux" && process.arch === "x64";
const hasCompiler = isPlatform && spawnSync("g++", ["--version"]).status === 0;
const isRequired = (process.env["SPINFER_REQUIRE"] ?? "").split(/[\s,]+/).includes("g++");

if (isRequired) {
  it("has the compiler that SPINFER_REQUIRE demands", () => {
    expect(hasCompiler, "g++ is not there, or this is not Linux on x64").toBe(true);
  });
} else if (!hasCompiler) {
  const reason = isPlatform ? "g++ is not installed" : "it is for Linux on x64";
  process.stderr.write(`skipped: the CPU library's own test: ${reason}\n`);
}

const LONGEST_MS = 240_000;

function output(command: string, ...args: readonly string[]): string {
  const env = { ...process.env, CXX: "g++" };
  const { status, stdout, stderr } = spawnSync(command, args, {
    ...{ cwd: root, encoding: "utf8", env },
    timeout: LONGEST_MS, // a pool that loses a thread waits for ever
  });
  expect(status, `${command} ${args.join(" ")}: ${stdout}${stderr}`).toBe(0);
  return stdout;
}

describe.skipIf(!hasCompiler)("the CPU library's own test (needs g++)", () => {
  it.each([
    ["as released", [], "cpuTest", []],
    [
      "under the address and undefined-behaviour sanitizers",
      ["--sanitize", "address,undefined"],
      "address-undefined/cpuTest",
      [],
    ],
    ["under the thread sanitizer", ["--sanitize", "thread"], "thread/cpuTest", ["brief"]],
  ])("passes %s", (_, flags, program, args) => {
    output(process.execPath, "scripts/buildCpu.mjs", "--tests", ...flags);
    const said = output(join(root, "kernels/build", program), ...args);
    process.stderr.write(said);
    expect(said).toMatch(/cpuTest: \d{4,} checks, 0 failures/);
    const sets = [...said.matchAll(/this processor has (\w+)/g)].map(([, name]) => name);
    expect(["avx2", "avx512", "amx"]).toEqual(expect.arrayContaining(sets));
  });
});
