/** Builds dist/ before tests that run the built code, when a source is newer than it. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export function setup(): void {
  if (process.env["SPINFER_SKIP_BUILD"] === "1") return;
  const script = 'import("./scripts/build.mjs").then(({ buildIfStale }) => buildIfStale())';
  const { status } = spawnSync(process.execPath, ["-e", script], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) throw new Error("npm run build failed");
}
