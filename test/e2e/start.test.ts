/** `npm start` from the README: the whole pipeline on the embedded model. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const WORK = join(ROOT, ".spinfer-demo");

describe("npm start", () => {
  afterAll(() => rmSync(WORK, { recursive: true, force: true }));

  it("takes the embedded model from dense to verified sparse and back, and says what it cost", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/start.mjs"], {
      cwd: ROOT,
      encoding: "utf8",
    });
    expect(status, `${stdout}\n${stderr}`).toBe(0);
    expect(existsSync(join(WORK, "sparse/spinfer_manifest.json"))).toBe(true);
    const config = JSON.parse(readFileSync(join(WORK, "sparse/config.json"), "utf8"));
    expect(config.quantization_config.quant_method).toBe("spinfer");
    expect(JSON.parse(readFileSync(join(WORK, "dense/config.json"), "utf8"))).not.toHaveProperty(
      "quantization_config",
    );
    const [, sparse, dense] = [...stdout.matchAll(/(\d+) bytes of weights/g)].map(([, bytes]) =>
      Number(bytes),
    );
    expect(sparse).toBeLessThan(0.65 * dense!);
    const [, before, after] =
      /^ +models\/demo +(\d\.\d+) .*\n +\S+sparse +50 % +(\d\.\d+) /m.exec(stdout) ?? [];
    expect(Number(before)).toBeGreaterThan(1.4);
    expect(Number(after)).toBeGreaterThan(Number(before));
    expect(stdout).toMatch(/^✓ gate ppl<=\+10%: \+\d/m);
    const page = /^ +the report page +(\S+)$/m.exec(stdout)?.[1] ?? "";
    const points = readFileSync(page, "utf8").match(/data-point="/g);
    expect(points).toHaveLength(9);
  });
});
