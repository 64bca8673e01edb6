/** The CUDA library as users get it: all targets, needs libc alone, loads without a GPU. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { SpInferError } from "../../src/core/errors.ts";
import { GpuProcess } from "../../src/engine/cuda/index.ts";
import { findCompiler } from "../helpers/compiler.ts";

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const LIBRARY = path("kernels/build/libspinfer.so");
const hasCompiler = findCompiler("nvcc", "building the CUDA library");

function output(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

describe.skipIf(!hasCompiler)("the CUDA library (needs nvcc)", () => {
  beforeAll(() => {
    const begun = performance.now();
    output(process.execPath, path("scripts/buildKernels.mjs"));
    const seconds = (performance.now() - begun) / 1000;
    process.stderr.write(`built the CUDA library with all targets in ${seconds.toFixed(0)} s\n`);
  }, 1_200_000);

  it("needs libc alone, of 2022 or later", () => {
    const needed = [...output("readelf", "-d", LIBRARY).matchAll(/\(NEEDED\).*\[(.+?)\]/g)];
    expect(needed.map(([, name]) => name).sort()).toEqual(["ld-linux-x86-64.so.2", "libc.so.6"]);
    const versions = [...output("readelf", "-V", LIBRARY).matchAll(/GLIBC_2\.(\d+)/g)];
    expect(Math.max(...versions.map(([, minor]) => Number(minor)))).toBeLessThanOrEqual(35);
  });

  it("exports the functions of its headers and nothing else", () => {
    const exported = [...output("nm", "-D", "--defined-only", LIBRARY).matchAll(/ T (\w+)$/gm)];
    const declared = ["spinfer.h", "spinfer_measure.h"].flatMap((header) => {
      const text = readFileSync(path(`kernels/include/${header}`), "utf8");
      return [...text.matchAll(/SPINFER_API [\w\s*]*?\b(spinfer_\w+)\(/g)];
    });
    expect(exported.map(([, name]) => name).sort()).toEqual(
      declared.map(([, name]) => name).sort(),
    );
  });

  it("has code for every target, and PTX for those to come", () => {
    const text = readFileSync(LIBRARY).toString("latin1");
    for (const target of ["sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120"]) {
      expect(text).toContain(target);
    }
  });

  it("GP-02 says which CUDA version the driver supports, and which is needed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "spinfer-driver-"));
    try {
      const source = join(folder, "driver.c");
      writeFileSync(
        source,
        "int cuDriverGetVersion(int *v) { *v = 12000; return 0; }\nint cuInit(unsigned f) { return (int)(f * 0); }\n",
      );
      output("gcc", "-shared", "-fPIC", "-o", join(folder, "libcuda.so.1"), source);
      const env = { ...process.env, SPINFER_LIBRARY: LIBRARY, LD_LIBRARY_PATH: folder };
      const gpu = new GpuProcess({ env });
      await expect(gpu.ask("describe", null)).rejects.toMatchObject({
        code: "E_GPU_NONE",
        exit: 6,
        message: "the driver supports CUDA 12.0, this build needs 13.0",
      });
      await gpu.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("loads through koffi, lists its kernels, and says why there is no GPU", async () => {
    const gpu = new GpuProcess({ env: { ...process.env, SPINFER_LIBRARY: LIBRARY } });
    try {
      const geometries = await gpu.ask("geometries", null);
      expect(geometries.length).toBeGreaterThan(30);
      for (const { tokens, warps, copies } of geometries) {
        expect([8, 16, 32, 64]).toContain(tokens);
        expect(warps).toBeGreaterThan(0);
        expect([0, 1, 2]).toContain(copies);
      }
      const answer = await gpu.ask("describe", null).catch((thrown: unknown) => thrown);
      if (answer instanceof SpInferError) {
        expect(answer.code).toBe("E_GPU_NONE");
        expect(answer.message).toMatch(/no NVIDIA driver|driver supports CUDA|NoDevice/);
      } else {
        expect(answer).toMatchObject({ capability: expect.stringMatching(/^\d+\.\d$/) });
      }
    } finally {
      await gpu.close();
    }
  });
});
