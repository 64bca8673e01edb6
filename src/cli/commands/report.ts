/** report: records as one page, or as the model card of a checkpoint. */
import { join } from "node:path";
import { SpInferError } from "../../core/errors.ts";
import { formatBytes } from "../../core/text.ts";
import { writeSmallFile } from "../../io/smallFile.ts";
import { CARD_FILE } from "../../pipeline/manifest.ts";
import { cardData } from "../../pipeline/report/cardData.ts";
import { readRecords, reportData } from "../../pipeline/report/readRecords.ts";
import { htmlPage, markdownPage, modelCard, type ReportData } from "../../report/index.ts";
import type { Arguments } from "../commandLine/arguments.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { good, lines } from "../output/document.ts";
import type { ReportResult } from "../schemas/report.ts";
import { counted } from "../views/words.ts";

interface Page {
  readonly output: string;
  readonly form: ReportResult["form"];
  readonly text: string;
  readonly sections: string[];
}

export async function report({ arguments: given }: Invocation): Promise<Outcome> {
  const paths = given.list("record") ?? [];
  const page = given.has("card") ? await card(given, paths) : await wholePage(given, paths);
  const { output, form, text, sections } = page;
  await writeSmallFile(output, text, given.flag("force"));
  const bytes = Buffer.byteLength(text);
  const result: ReportResult = { output, form, bytes, records: paths.length, sections };
  const from = counted(paths.length, "record");
  return {
    result,
    document: () => [
      lines([
        good("✓"),
        ` wrote ${output} (${formatBytes(bytes)}) from ${from}: ${sections.join(", ")}`,
      ]),
    ],
    quiet: output,
  };
}

async function wholePage(given: Arguments, paths: readonly string[]): Promise<Page> {
  const output = given.text("output");
  if (output === undefined) {
    throw new SpInferError("E_USAGE", "report needs a file to write to", {
      expected: "-o FILE.html or -o FILE.md",
    });
  }
  const form = formOf(output);
  const data = reportData(await readRecords(paths), given.text("title"));
  const text = form === "html" ? htmlPage(data) : markdownPage(data);
  return { output, form, text, sections: sectionsOf(data) };
}

function formOf(output: string): "html" | "md" {
  if (/\.html?$/i.test(output)) return "html";
  if (/\.(?:md|markdown)$/i.test(output)) return "md";
  throw new SpInferError("E_OPTION", `--output: ${JSON.stringify(output)} is not accepted`, {
    expected: "a name that ends with .html or .md",
  });
}

async function card(given: Arguments, paths: readonly string[]): Promise<Page> {
  const checkpoint = given.text("card")!;
  const data = await cardData(checkpoint, await readRecords(paths));
  const output = given.text("output") ?? join(checkpoint, CARD_FILE);
  return { output, form: "card", text: modelCard(data), sections: ["card"] };
}

function sectionsOf({ sweeps, evaluations, checkpoints, kernels, speeds }: ReportData): string[] {
  return Object.entries({ sweeps, evaluations, checkpoints, kernels, speeds })
    .filter(([, list]) => list.length > 0)
    .map(([name]) => name);
}
