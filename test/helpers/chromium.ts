/**
 * Pages in headless Chromium. Without a browser the checks are skipped with the reason, unless
 * SPINFER_REQUIRE names "chromium": then they fail.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";
import { works } from "./cli.ts";
import { isDemanded } from "./demanded.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const browser = NAMES.find((name) => works(name, ["--version"]));

export type Theme = "light" | "dark";

export interface View {
  readonly theme: Theme;
  readonly width: number;
  readonly height: number;
}

/** `describe` for tests that need a browser. */
export function describeChromium(name: string, define: () => void): void {
  if (browser !== undefined) {
    describe(name, define);
    return;
  }
  const reason = "no Chromium in the PATH";
  if (isDemanded("chromium")) {
    describe(name, () => {
      test("has the browser that SPINFER_REQUIRE demands", () => {
        throw new Error(reason);
      });
    });
    return;
  }
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
  describe.skip(`${name} (skipped: ${reason})`, define);
}

/** The page's elements after it was laid out, as text; what it asked of a network is refused. */
export function shownDom(page: string, view: View): string {
  return inBrowser(page, view, (file) => ["--dump-dom", file]).stdout;
}

/** A PNG of the window. */
export function screenshot(page: string, view: View): Buffer {
  return inBrowser(page, view, (file, folder) => [`--screenshot=${join(folder, "page.png")}`, file])
    .image!;
}

/** Width and height of a PNG. */
export function pngSize(image: Buffer): readonly [width: number, height: number] {
  return [image.readUInt32BE(16), image.readUInt32BE(20)];
}

function inBrowser(
  page: string,
  { theme, width, height }: View,
  words: (file: string, folder: string) => readonly string[],
): { stdout: string; image: Buffer | undefined } {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-page-"));
  try {
    const file = join(folder, "page.html");
    writeFileSync(file, page);
    const own = [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
      "--host-resolver-rules=MAP * ~NOTFOUND",
      `--user-data-dir=${join(folder, "profile")}`,
      `--window-size=${width},${height}`,
      `--blink-settings=preferredColorScheme=${theme === "dark" ? 0 : 1}`,
    ];
    const run = spawnSync(browser!, [...own, ...words(`file://${file}`, folder)], {
      encoding: "utf8",
      timeout: 60_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    if (run.status !== 0) throw new Error(`the browser ended with ${run.status}: ${run.stderr}`);
    const wantsImage = words("", folder)[0]!.startsWith("--screenshot");
    return {
      stdout: run.stdout,
      image: wantsImage ? readFileSync(join(folder, "page.png")) : undefined,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
