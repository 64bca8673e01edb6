/** A compiler that native tests need: whether it is there, or why they are skipped. */
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { isDemanded } from "./demanded.ts";

/** Whether this is the platform that the native CPU engine is for. */
export const IS_LINUX_X64 = process.platform === "linux" && process.arch === "x64";

/**
 * Whether `command` runs here. Where it does not, says on stderr what is skipped; where
 * SPINFER_REQUIRE demands it, defines a test that fails.
 */
export function findCompiler(command: string, skipped: string, isPlatform = true): boolean {
  const isThere = isPlatform && spawnSync(command, ["--version"]).status === 0;
  const reason = isPlatform ? `${command} is not installed` : "it is for Linux on x64";
  if (isDemanded(command)) {
    it("has the compiler that SPINFER_REQUIRE demands", () => {
      expect(isThere, reason).toBe(true);
    });
  } else if (!isThere) {
    process.stderr.write(`skipped: ${skipped}: ${reason}\n`);
  }
  return isThere;
}
