import os from "node:os";
import { describe, expect, it } from "vitest";
import { examine } from "../../src/pipeline/doctor.ts";
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

  it("looks at a short list of variables only, and hides the home folder", () => {
    expect(examine(env).environment).toEqual({ CI: "1", HF_HOME: "~/cache" });
  });

  it.each(["human", "json", "md", "csv", "jsonl"])("prints no secret as %s", async (format) => {
    const { exit, stdout, stderr } = await runInProcess(["doctor", "--format", format], { env });
    expect(exit).toBe(0);
    expect(stdout.length).toBeGreaterThan(100);
    expect(stdout + stderr).not.toContain("hf_");
  });

  it("says that no CUDA library comes with it", async () => {
    const { stdout } = await runInProcess(["doctor"]);
    expect(stdout).toMatch(/GPU\s+not used: this version comes without a CUDA library/);
    expect(examine().cuda).toBeNull();
  });
});
