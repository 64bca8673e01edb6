import { readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sizesOf } from "../../src/io/elfFile.ts";
import { examine } from "../../src/pipeline/doctor.ts";
import { temporaryFolder } from "../helpers/models.ts";
import { runInProcess } from "./runInProcess.ts";

const SECRET = "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";

describe("PA-09 doctor", () => {
  const env = {
    HF_TOKEN: SECRET,
    HUGGING_FACE_HUB_TOKEN: SECRET,
    AWS_SECRET_ACCESS_KEY: SECRET,
    NODE_OPTIONS: `--title=${SECRET}`,
    HF_HOME: `${os.homedir()}/cache`,
    CI: "1",
  };

  it("looks at a short list of variables only, and hides the home folder", async () => {
    expect((await examine(env)).environment).toEqual({ CI: "1", HF_HOME: "~/cache" });
  });

  it.each(["human", "json", "md", "csv", "jsonl"])("prints no secret as %s", async (format) => {
    const { exit, stdout, stderr } = await runInProcess(["doctor", "--format", format], { env });
    expect(exit).toBe(0);
    expect(stdout.length).toBeGreaterThan(100);
    expect(stdout + stderr).not.toContain("hf_");
  });

  it("GP-17 says where it looked when there is no CUDA library, and that all else works", async () => {
    const { exit, stdout } = await runInProcess(["doctor"], {
      env: { SPINFER_LIBRARY: "/nowhere/libspinfer.so" },
    });
    expect(exit).toBe(0);
    expect(stdout).toMatch(/GPU\s+not used: there is no CUDA library for/);
    expect(stdout).toContain("everything but spinfer bench and spinfer tune works without");
    const { cuda } = await examine({ SPINFER_LIBRARY: "/nowhere/libspinfer.so" });
    expect(cuda).toMatchObject({ library: null, gpu: null, problem: { code: "E_GPU_LIBRARY" } });
  });

  it("says with what the native engine computes, or why it does not run", async () => {
    const { nativeEngine } = await examine(process.env);
    const isThere = nativeEngine.problem === null;
    expect(nativeEngine.instructions === null).toBe(!isThere);
    const without = { SPINFER_CPU_LIBRARY: "/nowhere/libspinfer_cpu.so" };
    const { exit, stdout } = await runInProcess(["doctor"], { env: without });
    expect(exit).toBe(0);
    expect(stdout).toMatch(
      /CPU engine\s+not native: the CPU library cannot be used: it is not there/,
    );
    expect((await examine(without)).nativeEngine).toMatchObject({
      ...{ library: null, instructions: null },
      problem: { code: "E_ENGINE_MISSING" },
    });
  });

  it.skipIf(process.platform !== "linux")("GP-17 says when the library is cut short", async () => {
    // Node itself is a file of that kind
    const whole = sizesOf(process.execPath)!;
    expect(whole.found).toBeGreaterThanOrEqual(whole.least);
    const library = join(temporaryFolder(), "libspinfer.so");
    writeFileSync(library, readFileSync(process.execPath).subarray(0, 100_000));
    const { cuda } = await examine({ SPINFER_LIBRARY: library });
    expect(cuda.problem).toMatchObject({
      code: "E_GPU_LIBRARY",
      message: expect.stringContaining("it is cut short, 100000 of at least "),
    });
  });
});
