/** A document as aligned text for a terminal. */
import { printable } from "../../core/text.ts";
import type { Block, Cell, Column, Document, Table } from "./document.ts";
import { paint, showLine } from "./style.ts";

export function humanText(document: Document, colour: boolean): string {
  const blocks = document.map((block) => showBlock(block, colour)).filter((text) => text !== "");
  return blocks.length === 0 ? "" : `${blocks.join("\n\n")}\n`;
}

function showBlock(block: Block, colour: boolean): string {
  switch (block.kind) {
    case "lines":
      return block.lines.map((line) => showLine(line, colour)).join("\n");
    case "facts": {
      const width = Math.max(...block.facts.map(([label]) => label.length));
      return block.facts
        .map(([label, value]) => {
          const padded = paint(label.padEnd(width), "faint", colour);
          return `  ${padded}  ${showLine(value, colour)}`;
        })
        .join("\n");
    }
    case "table":
      return showTable(block.table, colour);
    case "text":
      return block.text.replace(/\n$/, "");
  }
}

/** What people see of a value. */
export function cellText(column: Column, value: Cell): string {
  if (column.show !== undefined) return printable(column.show(value));
  return value === null ? "" : printable(String(value));
}

function showTable({ columns, rows }: Table, colour: boolean): string {
  const shown = columns.filter(({ dataOnly }) => dataOnly !== true);
  const cells = rows.map((row) => shown.map((column) => cellText(column, row[column.key] ?? null)));
  const widths = shown.map(({ title }, i) =>
    cells.reduce((most, row) => Math.max(most, lengthOf(row[i]!)), lengthOf(title)),
  );
  const pad = (text: string, i: number): string => {
    const gap = " ".repeat(widths[i]! - lengthOf(text));
    return shown[i]!.align === "right" ? gap + text : text + gap;
  };
  const heading = shown.map(({ title }, i) => pad(title, i)).join("  ");
  const body = cells.map((row, r) => {
    const texts = row.map((text, i) => {
      const tone = shown[i]!.tone?.(rows[r]![shown[i]!.key] ?? null);
      return tone === undefined ? pad(text, i) : paint(pad(text, i), tone, colour);
    });
    return `  ${texts.join("  ")}`.trimEnd();
  });
  if (heading.trim() === "") return body.join("\n");
  return [`  ${paint(heading.trimEnd(), "faint", colour)}`, ...body].join("\n");
}

function lengthOf(text: string): number {
  return [...text].length;
}
