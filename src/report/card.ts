/** A model card: README.md of a pruned checkpoint, with the front matter that model hubs read. */
import { formatBytes, formatPercent, printable } from "../core/text.ts";
import type { Fact, PerplexityData, SpeedData } from "./data.ts";
import { factList, plain, speedParts, table } from "./markdown.ts";
import { change, estimate } from "./words.ts";

export interface CardData {
  readonly name: string;
  readonly version: string;
  /** org/name; absent: the source has no such name. */
  readonly baseModel?: string | undefined;
  /** As the source's own card names it. */
  readonly license?: string | undefined;
  /** tile-bitmap or dense. */
  readonly stored: "tile-bitmap" | "dense";
  readonly methods: readonly string[];
  readonly sparsity: number;
  readonly bytes: number;
  readonly denseBytes: number;
  readonly results: readonly CardResult[];
  /** Of this checkpoint alone. */
  readonly speeds: readonly SpeedData[];
  readonly provenance: readonly Fact[];
}

export interface CardResult extends PerplexityData {
  readonly dataset: string;
  readonly protocol: string;
  readonly base?: (PerplexityData & { readonly delta: number }) | undefined;
}

export function modelCard(card: CardData): string {
  return `---\n${frontMatter(card)}---\n\n${body(card)}`;
}

function frontMatter(card: CardData): string {
  const { baseModel, license, stored, methods, sparsity, results, name } = card;
  const percent = `${Math.round(sparsity * 100)}-percent`;
  const tags = ["spinfer", "sparse", "pruned", ...methods, percent];
  const lines = [
    ...(baseModel === undefined
      ? []
      : [`base_model: ${word(baseModel)}`, "base_model_relation: quantized"]),
    `library_name: ${stored === "dense" ? "transformers" : "spinfer"}`,
    "pipeline_tag: text-generation",
    "tags:",
    ...tags.map((tag) => `  - ${word(tag)}`),
    ...(license === undefined ? [] : [`license: ${word(license)}`]),
    ...(results.length === 0 ? [] : modelIndex(name, results)),
  ];
  return `${lines.join("\n")}\n`;
}

function modelIndex(name: string, results: readonly CardResult[]): string[] {
  return [
    "model-index:",
    `  - name: ${word(name)}`,
    "    results:",
    ...results.flatMap(({ dataset, protocol, perplexity }) => [
      "      - task:",
      "          type: text-generation",
      "        dataset:",
      "          type: text",
      `          name: ${word(dataset)}`,
      "        metrics:",
      "          - type: perplexity",
      `            name: ${word(`perplexity (${protocol})`)}`,
      `            value: ${perplexity}`,
    ]),
  ];
}

/** A YAML scalar: bare where it can be nothing but a string, else as JSON, which YAML reads. */
function word(text: string): string {
  return /^[A-Za-z][\w./+-]*$/.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text)
    ? text
    : JSON.stringify(printable(text));
}

function body(card: CardData): string {
  const { name, version, baseModel, stored, methods, sparsity, bytes, denseBytes, results } = card;
  const source = baseModel === undefined ? "" : ` of ${plain(baseModel)}`;
  const parts = [
    `# ${plain(name)}`,
    `A pruned copy${source}: ${formatPercent(sparsity)} of the weights in its pruned matrices are zero ` +
      `(${plain(methods.join(", "))}). Its weights take ${formatBytes(bytes)}, ` +
      `${formatPercent(bytes / denseBytes)} of what they take dense.`,
    stored === "dense"
      ? "It is an ordinary checkpoint and loads wherever the original does."
      : "Its matrices are stored as tile-bitmap. `spinfer convert DIR -o DENSE --to dense` makes an " +
        "ordinary checkpoint of it; loaders that do not know the format refuse it.",
    ...(results.length === 0
      ? []
      : [
          "## Perplexity",
          table(
            ["text", "protocol", "dense", "this model", "change"],
            2,
            results.map((result) => [
              plain(result.dataset),
              plain(result.protocol),
              result.base === undefined ? "" : estimate(result.base),
              estimate(result),
              result.base === undefined ? "" : change(result.base.delta),
            ]),
          ),
        ]),
    ...card.speeds.flatMap((speed) => [
      ...speedParts(speed),
      factList(speed.provenance.filter(([label]) => label !== "command")),
    ]),
    "## Provenance",
    factList(card.provenance),
    `Made with SpInfer ${plain(version)}; \`spinfer verify DIR\` checks every byte.`,
  ];
  return `${parts.join("\n\n")}\n`;
}
