/** The committed .wasm files are what their C sources give. Needs clang 14 and lld 14. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { isDemanded } from "../helpers/demanded.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const missing = ["clang-14", "wasm-ld-14"].filter(
  (tool) => spawnSync(tool, ["--version"]).status !== 0,
);
const demanded = isDemanded("clang");
const reason = `${missing.join(" and ")} not found (Debian: apt install clang-14 lld-14)`;
const skipped = missing.length > 0 && !demanded;
if (skipped) process.stderr.write(`skipped: rebuilding the .wasm files: ${reason}\n`);

describe(`the committed WebAssembly${skipped ? ` (skipped: ${reason})` : ""}`, () => {
  test.skipIf(skipped)(
    "is byte for byte what its C source compiles to",
    () => {
      if (missing.length > 0) throw new Error(`SPINFER_REQUIRE demands clang, but ${reason}`);
      const run = spawnSync(process.execPath, ["scripts/buildWasm.mjs", "--check"], {
        cwd: root,
        encoding: "utf8",
      });
      expect(run.stdout.trim().split("\n")).toEqual([
        "src/core/wasm/half.wasm: as built from source",
        "formats/tile-bitmap/wasm/tileBitmap.wasm: as built from source",
        "pruners/wasm/dense.wasm: as built from source",
        "pruners/wasm/select.wasm: as built from source",
      ]);
      expect(run.stderr).toBe("");
      expect(run.status).toBe(0);
    },
    60_000,
  );
});
