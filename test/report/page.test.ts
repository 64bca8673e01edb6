import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type CardData, htmlPage, markdownPage, modelCard } from "../../src/report/index.ts";
import { linearScale, logScale, spread } from "../../src/report/scale.ts";
import { HOSTILE, sampleReport, sampleSpeed, sampleSweep } from "./sample.ts";

describe("the page", () => {
  const page = htmlPage(sampleReport());

  it("stands on its own: no script, nothing fetched", () => {
    expect(page).not.toMatch(/<script|<link|<iframe|@import|url\(|javascript:/i);
    expect(page.replaceAll(/<title>[\s\S]*?<\/title>/g, "")).not.toMatch(/\s(?:src|href)="/);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  });

  it("escapes every name", () => {
    expect(page).toContain("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;|`\\u{202e}");
    expect(page).not.toContain("<img");
    expect(page).not.toContain("\u202e");
    const titled = htmlPage({ ...sampleReport(), title: HOSTILE });
    expect(titled).not.toContain("<img");
  });

  it("marks the best at each sparsity", () => {
    const best = [...page.matchAll(/data-point="([^"]*)"[^>]*>(?:(?!<\/tr>).)*<strong>/g)];
    expect(best.map(([, name]) => name)).toEqual(
      ["30 %", "40 %", "50 %", "60 %", "70 %", "2:4"].map((amount) => `sparsegpt ${amount}`),
    );
  });

  it("shows maps of the same zeros once", () => {
    const titles = [...page.matchAll(/<summary>([^<]*)<\/summary>/g)].map(([, title]) => title);
    expect(titles).toContain("50 %: magnitude, wanda");
    expect(titles).toContain("50 %: wanda+owl");
  });

  it("draws rows instead of lines where there are one or two sparsities", () => {
    const sweep = sampleSweep();
    const points = sweep.points.filter(
      ({ asked, pattern }) => asked === 0.5 && pattern === undefined,
    );
    const one = htmlPage({ ...sampleReport(), sweeps: [{ ...sweep, points }] });
    expect(one).toContain("Methods at 50 %");
    expect(one).not.toContain('class="line ');
    const both = sweep.points.filter(({ asked }) => asked === 0.5 || asked === 0.6);
    const two = htmlPage({ ...sampleReport(), sweeps: [{ ...sweep, points: both }] });
    expect(two).toContain("Methods at 60 %");
    expect(two).not.toContain('class="line ');
    const three = sweep.points.filter(({ asked }) => asked >= 0.4 && asked <= 0.6);
    const curves = htmlPage({ ...sampleReport(), sweeps: [{ ...sweep, points: three }] });
    expect(curves).toContain('class="line ');
    expect(curves).not.toContain("Methods at 60 %");
  });

  it("calls the memory of a sweep what it is: seen in samples, with what was there before", () => {
    const columns = /<table id="costs">\s*<thead>(.*?)<\/thead>/s.exec(page)![1]!;
    expect(columns.replaceAll(/<[^>]*>/g, " ").trim()).toMatch(/^prune +evaluate +memory seen$/);
    for (const form of [page, markdownPage(sampleReport())]) {
      expect(form).toContain("samples 20 ms apart");
      expect(form).toContain("what earlier points left behind is in it");
      expect(form).not.toMatch(/peak memory|upper bound/i);
    }
  });

  it("leaves out what there are no records of", () => {
    const bare = htmlPage({ ...sampleReport(), sweeps: [], evaluations: [], checkpoints: [] });
    expect(bare).not.toContain("Perplexity against sparsity");
    expect(bare).toContain("Speed of products on NVIDIA H100");
  });
});

describe("the Markdown form", () => {
  const text = markdownPage(sampleReport());

  it("has a row for each method and a column for each sparsity", () => {
    expect(text).toContain("| method | 30 % | 40 % | 50 % | 60 % | 70 % | 2:4 |");
    expect(text).toMatch(/^\| sparsegpt \| \*\*13\.123 ± 0\.144 \(\+5 %\)\*\* \|/m);
    expect(text).toMatch(/^\| wanda \| 13\.337 ± 0\.147 \(\+6\.7 %\) \|/m);
    expect(text).toMatch(/^\| 1 \| 50 % \| 12 \| 1\.19× \|/m);
  });

  it("has the speed of whole models, in full", () => {
    expect(text).toContain("## End-to-end speed on NVIDIA H100 80GB HBM3");
    expect(text).toContain(
      "| llama-3-8b | fused | 8 | 60 % | 158.1 ± 0.1 | 257.0 | 1.50× | 16.1 GB | 8.65 GB | 2.897 |  |",
    );
    expect(text).toContain(
      "- llama-3-8b: loading to cuda with a cold page cache 2.00×, 5.0 s dense and 2.5 s packed.",
    );
    expect(text).toContain("a prompt of 2048 tokens at 60 % zeros (fused) 0.83×.");
    expect(text).toContain(
      "- llama-3-8b: perplexity 5.625 packed and 5.500 dense, over 36846 tokens in windows of 2048.",
    );
  });

  it("escapes every name, so that tables stay tables", () => {
    expect(text).toContain("\\<img src=x onerror=alert(1)\\>\"'&\\|\\`");
    expect(text).not.toMatch(/[^\\]<img/);
    for (const line of text.split("\n").filter((row) => row.startsWith("|"))) {
      expect(line.endsWith(" |"), line).toBe(true);
    }
  });
});

describe("a model card", () => {
  const card: CardData = {
    name: "smol-60",
    version: "0.1.0",
    baseModel: "org/Smol",
    license: "apache-2.0",
    stored: "tile-bitmap",
    methods: ["wanda"],
    sparsity: 0.5996,
    bytes: 143e6,
    denseBytes: 269e6,
    results: [
      {
        dataset: HOSTILE,
        protocol: "wanda protocol, windows of 2048",
        ...{ perplexity: 21.4, stderr: 0.14 },
        base: { perplexity: 20, stderr: 0.13, delta: 0.07 },
      },
    ],
    speeds: [],
    provenance: [["manifest", "ab"]],
  };
  const front = (text: string): Record<string, unknown> => parse(text.split("---\n")[1]!);

  it("begins with what hubs read", () => {
    expect(front(modelCard(card))).toEqual({
      base_model: "org/Smol",
      base_model_relation: "quantized",
      library_name: "spinfer",
      pipeline_tag: "text-generation",
      tags: ["spinfer", "sparse", "pruned", "wanda", "60-percent"],
      license: "apache-2.0",
      "model-index": [
        {
          name: "smol-60",
          results: [
            {
              task: { type: "text-generation" },
              dataset: { type: "text", name: HOSTILE.replace("\u202e", "\\u{202e}") },
              metrics: [
                {
                  type: "perplexity",
                  name: "perplexity (wanda protocol, windows of 2048)",
                  value: 21.4,
                },
              ],
            },
          ],
        },
      ],
    });
    expect(modelCard(card)).toContain("| 20.000 ± 0.130 | 21.400 ± 0.140 | +7 % |");
  });

  it("has the speeds that were measured of it, and how", () => {
    const text = modelCard({ ...card, results: [], speeds: [sampleSpeed()] });
    expect(text).toContain("## End-to-end speed on NVIDIA H100 80GB HBM3");
    expect(text).toContain("spinfer-bench-hf --model llama-3-8b");
    expect(text).toContain("- driver: 580.65");
    expect(front(text)).not.toHaveProperty("model-index");
  });

  it("says nothing of what it does not know", () => {
    const { base: _, ...result } = card.results[0]!;
    const { baseModel: __, license: ___, ...rest } = card;
    const text = modelCard({ ...rest, stored: "dense", results: [result] });
    expect(front(text)).not.toHaveProperty("base_model");
    expect(front(text)).not.toHaveProperty("license");
    expect(front(text)["library_name"]).toBe("transformers");
  });

  it("keeps words of YAML words", () => {
    const { license } = front(modelCard({ ...card, license: "no", name: "a: b # c" }));
    expect(license).toBe("no");
  });
});

describe("scales", () => {
  it("name round values within their range", () => {
    expect(linearScale(0.28, 0.72, 0, 100).ticks).toEqual([0.3, 0.4, 0.5, 0.6, 0.7]);
    expect(logScale(1.4, 6.1, 0, 100).ticks).toEqual([2, 3, 4, 5, 6]);
    expect(logScale(1.4, 900, 0, 100).ticks).toEqual([2, 5, 10, 20, 50, 100, 200, 500]);
    expect(logScale(1.4, 48_419, 0, 100).ticks).toEqual([10, 100, 1000, 10_000]);
  });

  it("put equal ratios equally far apart", () => {
    const { at } = logScale(1, 100, 200, 0);
    expect(at(1)).toBeCloseTo(200);
    expect(at(10)).toBeCloseTo(100);
    expect(at(100)).toBeCloseTo(0);
  });

  it("move labels apart in their order, within bounds", () => {
    expect(spread([50, 52, 10], 16, 0, 100)).toEqual([50, 66, 10]);
    expect(spread([99, 98, 97], 16, 0, 100)).toEqual([100, 84, 68]);
  });
});
