/** The page as a browser shows it: its figures, both themes, and no text cut off at any width. */
import { inflateSync } from "node:zlib";
import { expect, it } from "vitest";
import { htmlPage } from "../../src/report/index.ts";
import {
  describeChromium,
  pngSize,
  screenshot,
  shownDom,
  type Theme,
} from "../helpers/chromium.ts";
import { HOSTILE, sampleReport } from "./sample.ts";

const data = sampleReport();
const page = htmlPage(data);

/** The page with a script of ours, which it forbids itself, that writes what it sees into the title. */
function measuring(script: string): string {
  return page
    .replace(/<meta http-equiv[^>]*>/, "")
    .replace(
      "</body>",
      `<script>document.title = JSON.stringify((() => {${script}})())</script></body>`,
    );
}

function measured(script: string, theme: Theme, width: number): unknown {
  const dom = shownDom(measuring(script), { theme, width, height: 900 });
  const title = /<title>([^<]*)<\/title>/.exec(dom)?.[1] ?? "";
  return JSON.parse(title.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"));
}

const CUT_OFF = `
  const cut = [];
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.getClientRects().length === 0) continue;
    const frame = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 ||
          box.top < frame.top - 1 || box.bottom > frame.bottom + 1) cut.push(text.textContent);
    }
  }
  return { cut, drawn: document.querySelectorAll("svg").length,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth };`;

describeChromium("the report page in Chromium", () => {
  it("has the figures that it was made from", () => {
    const dom = shownDom(page, { theme: "light", width: 1100, height: 900 });
    const points = [
      ...dom.matchAll(/data-point="([^"]*)" data-perplexity="([^"]*)" data-bytes="([^"]*)"/g),
    ];
    const sweep = data.sweeps[0]!;
    expect(points.map(([, , perplexity, bytes]) => `${perplexity} ${bytes}`).sort()).toEqual(
      sweep.points.map(({ perplexity, bytes }) => `${perplexity} ${bytes}`).sort(),
    );
    expect(points.map(([, name]) => name)).toContain("wanda+owl 50 %");
    expect(dom).toContain("21.402 ± 0.141");
  });

  it("takes hostile names for text", () => {
    const seen = measured(
      `return { images: document.images.length, text: document.querySelector("#evaluations td").textContent };`,
      "light",
      1100,
    ) as { images: number; text: string };
    expect(seen.images).toBe(0);
    expect(seen.text).toContain(HOSTILE.replace("\u202e", "\\u{202e}"));
  });

  it.each([1100, 700, 500])("cuts no text off in a window of %i pixels", (width) => {
    const { cut, drawn, wider } = measured(CUT_OFF, "light", width) as {
      cut: string[];
      drawn: number;
      wider: number;
    };
    expect(cut).toEqual([]);
    expect(drawn).toBeGreaterThan(8);
    expect(wider).toBe(0);
  });

  it.each([
    ["light", true],
    ["dark", false],
  ] as const)("is %s where the system is", (theme, bright) => {
    const image = screenshot(page, { theme, width: 1100, height: 1400 });
    expect(pngSize(image)).toEqual([1100, 1400]);
    expect(averageOf(image) > 128).toBe(bright);
    expect(image.length).toBeGreaterThan(40_000);
  });
});

/** Mean of all bytes of the first rows, whose filters leave plain paper as it is. */
function averageOf(image: Buffer): number {
  const parts: Buffer[] = [];
  for (let at = 8; at < image.length; ) {
    const length = image.readUInt32BE(at);
    if (image.toString("latin1", at + 4, at + 8) === "IDAT")
      parts.push(image.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const channels = image[25] === 6 ? 4 : 3;
  const row = inflateSync(Buffer.concat(parts)).subarray(1, 1 + channels);
  return (row[0]! + row[1]! + row[2]!) / 3;
}
