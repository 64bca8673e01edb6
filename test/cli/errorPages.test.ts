import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, type ErrorCode } from "../../src/core/errorCodes.ts";
import { runInProcess } from "./runInProcess.ts";

const FOLDER = fileURLToPath(new URL("../../docs/errors", import.meta.url));
const CODES = Object.keys(ERROR_CODES) as ErrorCode[];

describe("the pages of error codes", () => {
  it("are there for every code, and for no other", () => {
    expect(readdirSync(FOLDER).sort()).toEqual(CODES.map((code) => `${code}.md`).sort());
  });

  it.each(CODES)("%s begins with what the code means, and says what to do", (code) => {
    const page = readFileSync(`${FOLDER}/${code}.md`, "utf8");
    const { summary, exit } = ERROR_CODES[code];
    const [title, , ...rest] = page.split("\n");
    const text = rest.join(" ");
    expect(title).toBe(`# ${code}`);
    expect(text.toLowerCase().startsWith(`${summary.toLowerCase()}. exit code ${exit}:`)).toBe(
      true,
    );
    expect(text).toContain("Usual cause: ");
    expect(text).toContain("What to do: ");
    expect(page.split("\n").length).toBeLessThanOrEqual(20);
  });

  it("are what `spinfer help CODE` prints, in any case", async () => {
    const page = readFileSync(`${FOLDER}/E_NO_SPACE.md`, "utf8");
    expect((await runInProcess(["help", "E_NO_SPACE"])).stdout).toBe(page);
    expect((await runInProcess(["help", "e_no_space"])).stdout).toBe(page);
  });

  it("are offered by the nearest name", async () => {
    const { exit, stderr } = await runInProcess(["help", "E_NO_SPAC"]);
    expect(exit).toBe(2);
    expect(stderr).toContain("fix:      did you mean E_NO_SPACE?");
  });

  it("exist for every page that a page mentions, and name only commands that exist", () => {
    for (const code of CODES) {
      const page = readFileSync(`${FOLDER}/${code}.md`, "utf8");
      for (const [mentioned] of page.matchAll(/\bE_[A-Z0-9_]+\b/g)) {
        expect(CODES).toContain(mentioned);
      }
    }
  });
});
