/** The CPU library as users get it: built by any C++ compiler, needs libc alone, shows its header's functions. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findCompiler, IS_LINUX_X64 } from "../helpers/compiler.ts";

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const hasCompiler = findCompiler("g++", "building the CPU library", IS_LINUX_X64);

function output(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

function build(env: Readonly<Record<string, string>>, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path("scripts/buildCpu.mjs"), ...args],
    { env: { ...process.env, ...env }, encoding: "utf8" },
  );
  return { status, said: stdout, stderr };
}

describe.skipIf(!hasCompiler)("the CPU library (needs g++)", () => {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-cpu-"));
  const library = join(folder, "libspinfer_cpu.so");
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeAll(() => {
    const { status, stderr } = build({ CXX: "g++" }, "--out", folder);
    if (status !== 0) throw new Error(stderr);
  });

  it("needs libc alone, of 2022 or later", () => {
    const needed = [...output("readelf", "-d", library).matchAll(/\(NEEDED\).*\[(.+?)\]/g)];
    for (const [, name] of needed) {
      expect(["ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6"]).toContain(name);
    }
    const versions = [...output("readelf", "-V", library).matchAll(/GLIBC_2\.(\d+)/g)];
    expect(Math.max(...versions.map(([, minor]) => Number(minor)))).toBeLessThanOrEqual(35);
  });

  it("exports the functions of its header and nothing else", () => {
    const exported = output("nm", "-D", "--defined-only", library).matchAll(/ \w (\w+)$/gm);
    const header = readFileSync(path("kernels/include/spinfer_cpu.h"), "utf8");
    const declared = header.matchAll(/SPINFER_CPU_API [\w\s*]*?\b(spinfer_\w+)\(/g);
    expect(Array.from(exported, ([, name]) => name).sort()).toEqual(
      Array.from(declared, ([, name]) => name).sort(),
    );
  });

  it("is built anew only where something is newer", () => {
    const { mtimeMs } = statSync(library);
    expect(build({}, "--out", folder)).toMatchObject({ status: 0, said: "" });
    expect(statSync(library).mtimeMs).toBe(mtimeMs);
    utimesSync(library, 0, 0);
    expect(build({ CXX: "g++" }, "--out", folder).said).toContain("libspinfer_cpu.so: ");
    expect(statSync(library).mtimeMs).toBeGreaterThan(mtimeMs);
  });

  it("is left out, in one line, where no compiler is there or it does not compile", () => {
    const empty = join(folder, "empty");
    const missing = build({ CXX: "/nowhere/c++" }, "--optional", "--out", empty);
    expect(missing).toMatchObject({ status: 0, stderr: "" });
    expect(missing.said.trim()).toBe(
      "buildCpu: CXX=/nowhere/c++ cannot be run: the native CPU engine is left out",
    );
    expect(build({ CXX: "/nowhere/c++" }, "--out", empty).status).toBe(1);
    const old = { CXX: "g++ -include /nowhere/old.h" };
    const optional = build(old, "--optional", "--out", empty);
    expect(optional).toMatchObject({ status: 0, stderr: "" });
    expect(optional.said.trim().split("\n")).toHaveLength(1);
    expect(optional.said).toContain("does not compile the native CPU engine: left out");
    const stale = join(empty, "libspinfer_cpu.so");
    copyFileSync(library, stale);
    utimesSync(stale, 0, 0);
    const asked = build(old, "--out", empty);
    expect(asked.status).toBe(1);
    expect(asked.stderr).toContain("error");
    expect(existsSync(stale), "one that is older than its sources is not used").toBe(false);
  });
});
