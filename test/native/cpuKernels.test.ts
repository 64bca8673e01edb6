/** The CPU library's own test (kernels/test/cpuTest.cpp), as released and under sanitizers. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findCompiler, IS_LINUX_X64 } from "../helpers/compiler.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const hasCompiler = findCompiler("g++", "the CPU library's own test", IS_LINUX_X64);

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
