/** A document as GitHub Markdown, to be pasted into an issue or a model card. */
import { printable } from "../../core/text.ts";
import type { Block, Document, Line, Table } from "./document.ts";
import { cellText } from "./humanText.ts";

export function markdown(document: Document): string {
  const blocks = document.map(showBlock).filter((text) => text !== "");
  return blocks.length === 0 ? "" : `${blocks.join("\n\n")}\n`;
}

function showBlock(block: Block): string {
  switch (block.kind) {
    case "lines":
      return block.lines.map(plain).join("  \n");
    case "facts":
      return block.facts.map(([label, value]) => `- **${label}**: ${plain(value)}`).join("\n");
    case "table":
      return showTable(block.table);
    case "text":
      return `\`\`\`\n${block.text.replace(/\n$/, "")}\n\`\`\``;
  }
}

function plain(line: Line): string {
  return inCell(
    line
      .map((span) => printable(typeof span === "string" ? span : span.text, 2000))
      .join("")
      .trim(),
  );
}

function showTable({ columns, rows }: Table): string {
  const shown = columns.filter(({ dataOnly }) => dataOnly !== true);
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    row(shown.map(({ title }) => title)),
    `|${shown.map(({ align }) => (align === "right" ? "---:" : "---")).join("|")}|`,
    ...rows.map((values) =>
      row(shown.map((column) => inCell(cellText(column, values[column.key] ?? null)))),
    ),
  ].join("\n");
}

/** What would become markup or end a cell. */
function inCell(text: string): string {
  return text.replace(/[\\`*|<]/g, (char) => `\\${char}`);
}
